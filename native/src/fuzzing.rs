//! Public Rust API of the kernels, for the fuzz targets in `fuzz/`.

pub use crate::error::Error;

/// Boxes and their overlap.
pub mod boxes {
    pub use crate::boxes::{Xyxy, iou, is_finite};
}

/// The best classes.
pub mod ranking {
    pub use crate::ranking::best;
}

/// Non-maximum suppression.
pub mod nms {
    pub use crate::nms::{Options, batched};
}

/// Resizing and preprocessing of images.
pub mod images {
    pub use crate::canvas::{CHANNELS, Layout, normalize, prepare};
    pub use crate::image::{Image, Target};
    pub use crate::resize::{Interpolation, resize};
}

/// Functions of one byte.
pub mod lookup {
    pub use crate::lookup::{Table, look_up};
}

/// Maps at the size of the photo.
pub mod maps {
    pub use crate::maps::{
        Axis, MAX_CLASSES, Masks, Scores, Window, choose_classes, resize_alpha, resize_masks,
    };
}

/// The decoder of SSD heads.
pub mod ssd {
    pub use crate::candidates::Activation;
    pub use crate::detections::Detections;
    pub use crate::ssd::{Map, Options, Order, decode};
}

/// The decoder of YOLO heads.
pub mod yolo {
    pub use crate::feature_maps::FeatureMap;
    pub use crate::yolo::{Found, Options, decode};
}

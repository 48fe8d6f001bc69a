//! The kernels as Rust sees them from outside: what the fuzz targets in `fuzz/` call.

pub use crate::error::Error;

/// Boxes and their overlap.
pub mod boxes {
    pub use crate::boxes::{Xyxy, iou, is_finite};
}

/// The best classes.
pub mod classify {
    pub use crate::classify::best;
}

/// Non-maximum suppression.
pub mod nms {
    pub use crate::nms::{Options, batched};
}

/// Resizing and what becomes of pixels after it.
pub mod images {
    pub use crate::image::{Image, Target};
    pub use crate::prepare::{CHANNELS, Layout, normalize, prepare};
    pub use crate::resize::{Interpolation, resize};
}

/// The decoder of SSD heads.
pub mod ssd {
    pub use crate::detections::Detections;
    pub use crate::scan::Activation;
    pub use crate::ssd::{Map, Options, Order, decode};
}

/// The decoder of YOLO heads.
pub mod yolo {
    pub use crate::levels::Level;
    pub use crate::yolo::{Found, Options, decode};
}

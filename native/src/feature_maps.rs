//! Feature maps of a YOLO head, and access to their channels.

use crate::error::{Error, product};

/// One feature map of a batch, `(n, channels, cells)`.
#[derive(Debug, Clone, Copy)]
pub struct FeatureMap<'a> {
    /// The first tensor: the first channels of every image.
    pub first: &'a [f32],
    /// The second tensor, with the remaining channels, if the network splits them; else empty.
    pub second: &'a [f32],
    pub width: usize,
    /// `h * w`.
    pub cells: usize,
    /// Stride in pixels.
    pub stride: f32,
    /// Width and height of each anchor, in cells.
    pub anchors: &'a [[f32; 2]],
}

impl FeatureMap<'_> {
    /// Check that the tensors have `channels` channels for each anchor and image.
    pub fn check(&self, images: usize, channels: usize) -> Result<(), Error> {
        let anchors = self.anchors.len();
        let all = product([images, self.cells, anchors, channels]);
        let got = (self.first.len(), self.second.len());
        let plane = product([images, self.cells]);
        let whole = plane.is_some_and(|plane| plane == 0 || got.0.is_multiple_of(plane));
        if whole && all == Some(got.0 + got.1) && self.width > 0 && self.cells > 0 {
            return Ok(());
        }
        let size = (images, anchors, channels, self.cells);
        let expected = format!("(images, anchors, channels, cells) {size:?}");
        let got = format!(
            "{} and {} values in the first and second tensor",
            got.0, got.1
        );
        Err(Error::shape("maps", expected, got))
    }
}

/// The channels of one image on one feature map.
pub struct ImagePlanes<'a> {
    pub level: &'a FeatureMap<'a>,
    first: &'a [f32],
    second: &'a [f32],
}

impl<'a> ImagePlanes<'a> {
    /// Return the channels of image `image` of `images`.
    pub fn new(level: &'a FeatureMap<'a>, image: usize, images: usize) -> Self {
        let own = |values: &'a [f32]| {
            let size = values.len() / images;
            &values[image * size..][..size]
        };
        let (first, second) = (own(level.first), own(level.second));
        Self {
            level,
            first,
            second,
        }
    }

    /// Return one channel, which has a value per cell.
    pub fn channel(&self, channel: usize) -> &'a [f32] {
        let at = channel * self.level.cells;
        let rest = match at.checked_sub(self.first.len()) {
            Some(at) => &self.second[at..],
            None => &self.first[at..],
        };
        &rest[..self.level.cells]
    }

    /// Return a point in pixels, from its decoded offset (0..1) in a cell.
    pub fn point(&self, cell: usize, x: f32, y: f32) -> (f32, f32) {
        let (row, column) = (cell / self.level.width, cell % self.level.width);
        let place =
            |offset: f32, cell: usize| (offset * 2.0 - 0.5 + cell as f32) * self.level.stride;
        (place(x, column), place(y, row))
    }
}

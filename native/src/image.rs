//! Images, and windows of resized images.

use std::ops::Range;

use crate::error::{Error, product};

/// A dense image of `height` rows of `width` pixels.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    pub data: &'a [u8],
    pub height: usize,
    pub width: usize,
}

impl<'a> Image<'a> {
    /// Return row `y`, with `channels` interleaved channels.
    pub fn row(&self, y: usize, channels: usize) -> &'a [u8] {
        let stride = self.width * channels;
        &self.data[y * stride..(y + 1) * stride]
    }

    /// Check that the image is not empty, matches `data`, and has offsets that fit `i32`.
    pub fn check(&self, channels: usize) -> Result<(), Error> {
        let values = product([self.height, self.width, channels]);
        let reached = |side: Option<usize>| side.is_some_and(|side| i32::try_from(side).is_ok());
        let in_reach = reached(Some(self.height)) && reached(product([self.width, channels]));
        if in_reach && values == Some(self.data.len()) && !self.data.is_empty() {
            return Ok(());
        }
        let size = (self.height, self.width, channels);
        let expected = format!("(height, width, channels) {size:?} with at least one value");
        let got = format!("{} values", self.data.len());
        Err(Error::shape("image", expected, got))
    }
}

/// Size of a resized image, and the window of it to compute.
#[derive(Debug, Clone)]
pub struct Target {
    pub height: usize,
    pub width: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Target {
    /// Return the target for a whole resized image.
    pub fn whole(height: usize, width: usize) -> Self {
        let (rows, columns) = (0..height, 0..width);
        Self {
            height,
            width,
            rows,
            columns,
        }
    }

    /// Check that the window is within a non-empty image.
    pub fn check(&self) -> Result<(), Error> {
        let within = |window: &Range<usize>, length| length > 0 && window.end <= length;
        if within(&self.rows, self.height) && within(&self.columns, self.width) {
            return Ok(());
        }
        let size = (self.height, self.width);
        let expected = format!("rows and columns within (height, width) {size:?}");
        let got = format!("rows {:?}, columns {:?}", self.rows, self.columns);
        Err(Error::shape("window", expected, got))
    }
}

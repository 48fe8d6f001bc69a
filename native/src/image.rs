//! Images and the parts of resized images that are wanted.

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
    /// Row `y`, of `channels` interleaved channels.
    pub fn row(&self, y: usize, channels: usize) -> &'a [u8] {
        let stride = self.width * channels;
        &self.data[y * stride..(y + 1) * stride]
    }

    /// Fail unless the data are those of rows that have pixels, and that offsets can reach into.
    pub fn check(&self, channels: usize) -> Result<(), Error> {
        let values = product([self.height, self.width, channels]);
        let reached = |side: Option<usize>| side.is_some_and(|side| i32::try_from(side).is_ok());
        let in_reach = reached(Some(self.height)) && reached(product([self.width, channels]));
        if in_reach && values == Some(self.data.len()) && !self.data.is_empty() {
            return Ok(());
        }
        let expected = format!("{} x {} x {channels} values", self.height, self.width);
        Err(Error::shape("image", expected, self.data.len().to_string()))
    }
}

/// The resized image's size, and the part of it that is wanted.
#[derive(Debug, Clone)]
pub struct Target {
    pub height: usize,
    pub width: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Target {
    /// The whole of a resized image.
    pub fn whole(height: usize, width: usize) -> Self {
        let (rows, columns) = (0..height, 0..width);
        Self {
            height,
            width,
            rows,
            columns,
        }
    }

    /// Fail unless the window is a part of an image that has pixels.
    pub fn check(&self) -> Result<(), Error> {
        let within = |window: &Range<usize>, length| length > 0 && window.end <= length;
        if within(&self.rows, self.height) && within(&self.columns, self.width) {
            return Ok(());
        }
        let expected = format!("a part of {} x {} pixels", self.height, self.width);
        let got = format!("{:?} x {:?}", self.rows, self.columns);
        Err(Error::shape("window", expected, got))
    }
}

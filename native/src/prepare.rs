//! From pixels to a network's input: resize, place on a canvas, split the channels, normalise.

use std::ops::Range;

use crate::dispatch::multiversion;
use crate::error::Error;
use crate::resize::{Image, Interpolation, Target, resize};

/// Channels of a network's input.
pub const CHANNELS: usize = 3;

/// Where a resized image lies on a canvas, and what the canvas is like.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Height and width of the canvas.
    pub canvas: (usize, usize),
    /// Height and width of the resized image.
    pub resized: (usize, usize),
    /// Row and column of the canvas where the resized image begins; negative crops it.
    pub offset: (i64, i64),
    /// Value of every pixel that the image does not cover.
    pub fill: u8,
    /// Whether the channels change their order.
    pub reverse: bool,
    pub interpolation: Interpolation,
}

/// Fill `out`, a canvas of `CHANNELS` planes, with the resized `image`.
pub fn prepare(image: &Image, layout: &Layout, out: &mut [u8]) -> Result<(), Error> {
    let (height, width) = layout.canvas;
    let plane = height * width;
    if out.len() != CHANNELS * plane {
        let expected = format!("{CHANNELS} planes of {height} x {width} pixels");
        return Err(Error::shape(
            "out",
            expected,
            format!("{} values", out.len()),
        ));
    }
    let (top, rows) = visible(layout.resized.0, height, layout.offset.0);
    let (left, columns) = visible(layout.resized.1, width, layout.offset.1);
    if rows.len() * columns.len() < plane {
        out.fill(layout.fill);
    }
    if rows.is_empty() || columns.is_empty() {
        return Ok(());
    }
    let target = Target {
        height: layout.resized.0,
        width: layout.resized.1,
        rows,
        columns,
    };
    let count = target.columns.len();
    let mut begin = top * width + left;
    let planes = if layout.reverse { [2, 1, 0] } else { [0, 1, 2] };
    resize::<CHANNELS>(image, &target, layout.interpolation, |row| {
        for (channel, at) in planes.iter().enumerate() {
            let start = at * plane + begin;
            pick_channel(row, channel, &mut out[start..start + count]);
        }
        begin += width;
    });
    Ok(())
}

/// Of `length` samples laid at `offset` on `canvas` places: the first place, the samples seen.
fn visible(length: usize, canvas: usize, offset: i64) -> (usize, Range<usize>) {
    let skipped = offset.min(0).unsigned_abs() as usize;
    let place = offset.max(0) as usize;
    let end = length.min(skipped + canvas.saturating_sub(place));
    (place, skipped.min(end)..end)
}

multiversion! {
    fn pick_channel(row: &[u8], channel: usize, out: &mut [u8]) {
        for (value, pixel) in out.iter_mut().zip(row.chunks_exact(CHANNELS)) {
            *value = pixel[channel];
        }
    }
}

/// `(value - mean) / std` of one plane, in 32-bit floats.
pub fn normalize(plane: &[u8], mean: f32, std: f32, out: &mut [f32]) {
    scale_plane(plane, mean, std, out);
}

multiversion! {
    fn scale_plane(plane: &[u8], mean: f32, std: f32, out: &mut [f32]) {
        for (value, &byte) in out.iter_mut().zip(plane) {
            *value = (f32::from(byte) - mean) / std;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn visible_samples_fit(length in 1usize..99, canvas in 1usize..99, offset in -120i64..120) {
            let (place, samples) = visible(length, canvas, offset);
            prop_assert!(samples.end <= length);
            prop_assert!(samples.is_empty() || place + samples.len() <= canvas);
            let seen = (0..length as i64).filter(|i| (0..canvas as i64).contains(&(i + offset)));
            prop_assert_eq!(samples.len(), seen.count());
        }
    }
}

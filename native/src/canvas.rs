//! Preprocessing: resize an image, place it on a canvas, split its channels, normalize.

use std::ops::Range;

use crate::cpu::multiversion;
use crate::error::{Error, product};
use crate::image::{Image, Target};
use crate::resize::{Interpolation, resize};

/// Number of channels of a network's input.
pub const CHANNELS: usize = 3;

/// Position of a resized image on a canvas.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Height and width of the canvas.
    pub canvas: (usize, usize),
    /// Height and width of the resized image.
    pub resized: (usize, usize),
    /// Row and column of the canvas where the resized image starts; negative values crop it.
    pub offset: (i64, i64),
    /// Value of every pixel that the image does not cover.
    pub fill: u8,
    /// Whether to reverse the order of the channels.
    pub reverse: bool,
    pub interpolation: Interpolation,
}

/// Write the resized `image` to `out`, a canvas of `CHANNELS` planes, and fill the rest.
pub fn prepare(image: &Image, layout: &Layout, out: &mut [u8]) -> Result<(), Error> {
    let (height, width) = layout.canvas;
    if product([height, width, CHANNELS]) != Some(out.len()) {
        let expected = format!("(channels, height, width) ({CHANNELS}, {height}, {width})");
        return Err(Error::shape(
            "out",
            expected,
            format!("{} values", out.len()),
        ));
    }
    image.check(CHANNELS)?;
    let plane = height * width;
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
    })
}

/// Return which of `length` samples at `offset` are visible on a canvas of length `canvas`.
///
/// The result is the first position on the canvas, and the range of visible samples.
fn visible(length: usize, canvas: usize, offset: i64) -> (usize, Range<usize>) {
    let skipped = offset.min(0).unsigned_abs() as usize;
    let place = offset.max(0) as usize;
    let end = length.min(skipped.saturating_add(canvas.saturating_sub(place)));
    (place, skipped.min(end)..end)
}

multiversion! {
    fn pick_channel(row: &[u8], channel: usize, out: &mut [u8]) {
        for (value, pixel) in out.iter_mut().zip(row.chunks_exact(CHANNELS)) {
            *value = pixel[channel];
        }
    }
}

/// Write `(value - mean) / std` of one plane, in 32-bit floats.
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

    #[test]
    fn sizes_beyond_memory_are_errors_or_not_seen() {
        let data = [7; 3];
        let layout = |canvas, resized, offset| Layout {
            canvas,
            resized,
            offset,
            fill: 9,
            reverse: false,
            interpolation: Interpolation::PillowBicubic,
        };
        let image = |height, width| Image {
            data: &data,
            height,
            width,
        };
        let huge = usize::MAX;
        let done = |image: &Image, layout: &Layout| {
            let mut out = [0; 3];
            prepare(image, layout, &mut out).map(|()| out)
        };
        let whole = layout((1, 1), (1, 1), (0, 0));
        assert_eq!(done(&image(1, 1), &whole).unwrap(), [7; 3]);
        for (height, width) in [(0, 1), (1, 2), (huge, huge), (huge / 3 + 1, 3)] {
            assert!(done(&image(height, width), &whole).is_err());
            assert!(done(&image(1, 1), &layout((height, width), (1, 1), (0, 0))).is_err());
        }
        for (offset, expected) in [(-(1 << 60), 7), (i64::MIN, 7), (1, 9), (i64::MAX, 9)] {
            let layout = layout((1, 1), (huge, huge), (offset, offset));
            assert_eq!(done(&image(1, 1), &layout).unwrap(), [expected; 3]);
        }
        let empty = layout((huge, 0), (2, 2), (-1, 0));
        assert!(prepare(&image(1, 1), &empty, &mut []).is_ok());
    }
}

//! Resize 8-bit images; results equal those of `OpenCV` and Pillow bit for bit.
//!
//! Rows are passed to a sink. Only the rows and columns of the target's window are computed.

use crate::error::{Error, product};
use crate::image::{Image, Target};
use crate::{opencv, pillow, resample_weights};

/// Library and method to reproduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    OpencvLinear,
    OpencvArea,
    PillowBilinear,
    PillowBicubic,
}

impl Interpolation {
    /// Return the interpolation with this name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "opencv_linear" => Ok(Self::OpencvLinear),
            "opencv_area" => Ok(Self::OpencvArea),
            "pillow_bilinear" => Ok(Self::PillowBilinear),
            "pillow_bicubic" => Ok(Self::PillowBicubic),
            _ => Err(Error::value(
                "interpolation must be opencv_linear, opencv_area, pillow_bilinear or \
                 pillow_bicubic",
                name,
            )),
        }
    }
}

/// Resize `image` with `C` interleaved channels; pass the rows of the window to `sink` in order.
pub fn resize<const C: usize>(
    image: &Image,
    target: &Target,
    interpolation: Interpolation,
    mut sink: impl FnMut(&[u8]),
) -> Result<(), Error> {
    image.check(C)?;
    target.check()?;
    if target.columns.is_empty() {
        target.rows.clone().for_each(|_| sink(&[]));
        return Ok(());
    }
    let vertical = resample_weights::opencv_scale(image.height, target.height);
    let horizontal = resample_weights::opencv_scale(image.width, target.width);
    let blocks = whole_blocks(vertical, horizontal);
    let same = (image.height, image.width) == (target.height, target.width);
    match (interpolation, blocks) {
        _ if same => copy::<C>(image, target, &mut sink),
        (Interpolation::PillowBilinear, _) => {
            pillow::antialiased::<C>(image, target, resample_weights::triangle, 1.0, &mut sink);
        }
        (Interpolation::PillowBicubic, _) => {
            pillow::antialiased::<C>(image, target, resample_weights::cubic, 2.0, &mut sink);
        }
        (Interpolation::OpencvLinear, Some((2, 2))) | (Interpolation::OpencvArea, Some(_)) => {
            opencv::area_blocks::<C>(image, target, blocks.unwrap_or((1, 1)), &mut sink);
        }
        (Interpolation::OpencvArea, None) if vertical >= 1.0 && horizontal >= 1.0 => {
            opencv::area_cells::<C>(image, target, &mut sink);
        }
        (Interpolation::OpencvArea, None) => opencv::linear::<C>(image, target, true, &mut sink),
        (Interpolation::OpencvLinear, _) => opencv::linear::<C>(image, target, false, &mut sink),
    }
    Ok(())
}

/// Maximum number of pixels whose sum fits 32 bits.
const LARGEST_BLOCK: usize = (u32::MAX / 255) as usize;

/// Return the block size if both scales are integers, so that whole blocks are averaged.
///
/// `None` also for blocks whose sums may overflow (`OpenCV` overflows at half of that size).
fn whole_blocks(vertical: f64, horizontal: f64) -> Option<(usize, usize)> {
    let whole = |scale: f64| {
        let rounded = scale.round_ties_even();
        (rounded >= 1.0 && (scale - rounded).abs() < f64::EPSILON).then_some(rounded as usize)
    };
    let (block_height, block_width) = (whole(vertical)?, whole(horizontal)?);
    (product([block_height, block_width])? <= LARGEST_BLOCK).then_some((block_height, block_width))
}

fn copy<const C: usize>(image: &Image, target: &Target, sink: &mut impl FnMut(&[u8])) {
    for y in target.rows.clone() {
        sink(&image.row(y, C)[target.columns.start * C..target.columns.end * C]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(image: &Image, target: &Target, method: Interpolation) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        resize::<3>(image, target, method, |row| rows.push(row.to_vec())).unwrap();
        rows
    }

    proptest! {
        #[test]
        fn a_window_shows_a_part_of_the_whole(
            (height, width) in (1usize..40, 1usize..40),
            (to_height, to_width) in (1usize..40, 1usize..40),
            (top, left) in (0usize..40, 0usize..40),
        ) {
            let data: Vec<u8> = (0..height * width * 3).map(|i| (i * i % 251) as u8).collect();
            let image = Image { data: &data, height, width };
            let whole = Target::whole(to_height, to_width);
            let (top, left) = (top.min(to_height - 1), left.min(to_width - 1));
            let part = Target { rows: top..to_height, columns: left..to_width, ..whole.clone() };
            for name in ["opencv_linear", "opencv_area", "pillow_bilinear", "pillow_bicubic"] {
                let method = Interpolation::parse(name).unwrap();
                let (all, some) = (rows(&image, &whole, method), rows(&image, &part, method));
                prop_assert_eq!(all.len(), to_height);
                for (a, b) in all[top..].iter().zip(&some) {
                    prop_assert_eq!(&a[left * 3..], &b[..]);
                }
            }
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_errors() {
        let data = [5; 12];
        let done = |height, width, target: &Target| {
            let image = Image {
                data: &data,
                height,
                width,
            };
            let mut rows = 0;
            resize::<3>(&image, target, Interpolation::OpencvArea, |_| rows += 1).map(|()| rows)
        };
        let whole = Target::whole(3, 3);
        let part = |rows, columns| Target {
            rows,
            columns,
            ..whole.clone()
        };
        assert_eq!(done(2, 2, &whole), Ok(3));
        assert_eq!(done(2, 2, &part(1..3, 2..2)), Ok(2));
        assert_eq!(done(2, 2, &part(1..1, 0..3)), Ok(0));
        for target in [Target::whole(0, 3), part(0..4, 0..3), part(0..3, 3..4)] {
            assert!(done(2, 2, &target).is_err());
        }
        for (height, width) in [
            (0, 0),
            (2, 1),
            (3, 2),
            (usize::MAX, 2),
            (4, usize::MAX / 4 + 2),
        ] {
            assert!(done(height, width, &whole).is_err());
        }
    }

    #[test]
    fn sums_of_the_largest_blocks_fit() {
        let side = 4200; // 255 * side * side is beyond 32 bits
        let data = vec![255; side * side];
        let image = Image {
            data: &data,
            height: side,
            width: side,
        };
        let method = Interpolation::OpencvArea;
        let check = |row: &[u8]| assert_eq!(row, [255]);
        resize::<1>(&image, &Target::whole(1, 1), method, check).unwrap();
    }
}

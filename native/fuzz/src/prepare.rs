//! Canvas: every pixel is the fill value or a pixel of the resized image, in the right plane.

use arbitrary::{Result, Unstructured};
use native::fuzzing::images::{CHANNELS, Layout, Target, prepare};

use crate::resize::{METHODS, Photo, rows};
use crate::values::{no_side, seldom, side};

/// Maximum pixels of a whole resized image to compare with.
const MAX_SIDE: usize = 1 << 13;

#[derive(Debug)]
struct Case {
    photo: Photo,
    layout: Layout,
    length: usize,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes))
        .map(|case| check(&case))
        .ok();
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let photo = Photo::new(u, CHANNELS)?;
    let mut canvas = (side(u, 80)?, side(u, 80)?);
    let mut length = canvas.0 * canvas.1 * CHANNELS;
    if seldom(u, 16)? {
        match u.int_in_range(0..=2_u8)? {
            0 => canvas.0 = no_side(u)?,
            1 => canvas = (no_side(u)?, 0),
            _ => length -= 1,
        }
        length = if canvas.1 == 0 { 0 } else { length };
    }
    let resized = (resized(u)?, resized(u)?);
    let layout = Layout {
        canvas,
        resized,
        offset: (offset(u)?, offset(u)?),
        fill: u.arbitrary()?,
        reverse: u.arbitrary()?,
        interpolation: *u.choose(&METHODS)?,
    };
    Ok(Case {
        photo,
        layout,
        length,
    })
}

fn resized(u: &mut Unstructured) -> Result<usize> {
    if seldom(u, 16)? {
        no_side(u)
    } else {
        side(u, 120)
    }
}

fn offset(u: &mut Unstructured) -> Result<i64> {
    if seldom(u, 16)? {
        u.arbitrary()
    } else {
        Ok(u.int_in_range(-90..=90_i8)?.into())
    }
}

fn is_valid(case: &Case) -> bool {
    let (height, width) = case.layout.canvas;
    let values = height
        .checked_mul(width)
        .and_then(|plane| plane.checked_mul(CHANNELS));
    values == Some(case.length) && case.photo.is_valid(CHANNELS)
}

fn check(case: &Case) {
    let layout = &case.layout;
    let mut out = vec![!layout.fill; case.length];
    let done = prepare(&case.photo.view(), layout, &mut out);
    assert_eq!(done.is_ok(), is_valid(case));
    let (height, width) = layout.resized;
    if done.is_err() || height.saturating_mul(width) > MAX_SIDE {
        return;
    }
    let whole = Target::whole(height, width);
    let shown = rows::<CHANNELS>(&case.photo, &whole, layout.interpolation).unwrap_or_default();
    let expected = lay(layout, &shown);
    assert!(out == expected, "another canvas");
}

/// Build the canvas pixel by pixel.
fn lay(layout: &Layout, shown: &[Vec<u8>]) -> Vec<u8> {
    let (height, width) = layout.canvas;
    let place = |at: usize, offset: i64| usize::try_from(at as i128 - i128::from(offset)).ok();
    if width == 0 {
        return Vec::new(); // there may be any number of such rows
    }
    let mut out = Vec::with_capacity(CHANNELS * height * width);
    for plane in 0..CHANNELS {
        let channel = if layout.reverse {
            CHANNELS - 1 - plane
        } else {
            plane
        };
        for y in 0..height {
            let row = place(y, layout.offset.0).and_then(|y| shown.get(y));
            out.extend((0..width).map(|x| {
                let pixel =
                    place(x, layout.offset.1).and_then(|x| row?.chunks_exact(CHANNELS).nth(x));
                pixel.map_or(layout.fill, |pixel| pixel[channel])
            }));
        }
    }
    out
}

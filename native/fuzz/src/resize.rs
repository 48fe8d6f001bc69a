//! Resize: windows equal parts of the whole, channels are independent, values stay in range.

use std::ops::Range;

use arbitrary::{Result, Unstructured};
use native::fuzzing::images::{Image, Interpolation, Target, resize};

use crate::values::{no_side, pixels, seldom, side};

pub const METHODS: [Interpolation; 4] = [
    Interpolation::OpencvLinear,
    Interpolation::OpencvArea,
    Interpolation::PillowBilinear,
    Interpolation::PillowBicubic,
];

/// Maximum pixels of an image, and of a window.
const MAX_SIDE: usize = 1 << 13;

/// An image that owns its data.
#[derive(Debug)]
pub struct Photo {
    pub data: Vec<u8>,
    pub height: usize,
    pub width: usize,
}

impl Photo {
    /// Return an image with `channels` channels, sometimes with data of the wrong length.
    pub fn new(u: &mut Unstructured, channels: usize) -> Result<Self> {
        let mut height = side(u, 2500)?;
        let mut width = side(u, (MAX_SIDE / height).max(1))?;
        let mut length = height * width * channels;
        if seldom(u, 32)? {
            match u.int_in_range(0..=2_u8)? {
                0 => height = no_side(u)?,
                1 => width = no_side(u)?,
                _ => length -= 1,
            }
        }
        let data = pixels(u, length)?;
        Ok(Self {
            data,
            height,
            width,
        })
    }

    pub fn view(&self) -> Image<'_> {
        Image {
            data: &self.data,
            height: self.height,
            width: self.width,
        }
    }

    pub fn is_valid(&self, channels: usize) -> bool {
        let values = [self.width, channels]
            .iter()
            .try_fold(self.height, |product, &n| product.checked_mul(n));
        values == Some(self.data.len()) && !self.data.is_empty()
    }

    /// Return one channel as an image.
    fn channel(&self, channel: usize, channels: usize) -> Self {
        let values = self.data.iter().skip(channel).step_by(channels);
        Self {
            data: values.copied().collect(),
            ..*self
        }
    }
}

#[derive(Debug)]
struct Case {
    photo: Photo,
    target: Target,
    method: Interpolation,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    if u.arbitrary().unwrap_or(false) {
        case::<1>(&mut u).map(|case| check::<1>(&case)).ok();
    } else {
        case::<3>(&mut u).map(|case| check::<3>(&case)).ok();
    }
}

fn case<const C: usize>(u: &mut Unstructured) -> Result<Case> {
    let method = *u.choose(&METHODS)?;
    let photo = Photo::new(u, C)?;
    let (height, width) = (length(u, photo.height)?, length(u, photo.width)?);
    let target = Target {
        rows: window(u, height, 128)?,
        columns: window(u, width, 96)?,
        height,
        width,
    };
    Ok(Case {
        photo,
        target,
        method,
    })
}

/// Return the target length of a side, often an integer fraction, which has its own code path.
fn length(u: &mut Unstructured, from: usize) -> Result<usize> {
    match u.int_in_range(0..=20_u8)? {
        0 => no_side(u),
        1..=6 => Ok((from / u.int_in_range(1..=4)?).max(1)),
        _ => side(u, 600),
    }
}

/// Return a window of `length`, mostly the whole, at most `max_length` long; rarely out of range.
fn window(u: &mut Unstructured, length: usize, max_length: usize) -> Result<Range<usize>> {
    let beyond = usize::from(seldom(u, 32)?);
    if length <= max_length && u.arbitrary()? {
        return Ok(0..length + beyond);
    }
    let start = u.int_in_range(0..=length)?;
    let count = u.int_in_range(0..=max_length.min(length - start))?;
    Ok(start..(start + count).saturating_add(beyond))
}

fn is_valid<const C: usize>(case: &Case) -> bool {
    let target = &case.target;
    let within = |window: &Range<usize>, length| window.end <= length && length > 0;
    case.photo.is_valid(C)
        && within(&target.rows, target.height)
        && within(&target.columns, target.width)
}

/// Return the rows of a resize, if its arguments are valid.
pub fn rows<const C: usize>(
    photo: &Photo,
    target: &Target,
    method: Interpolation,
) -> Option<Vec<Vec<u8>>> {
    let mut rows = Vec::new();
    let done = resize::<C>(&photo.view(), target, method, |row| rows.push(row.to_vec()));
    done.is_ok().then_some(rows)
}

fn check<const C: usize>(case: &Case) {
    let Case {
        photo,
        target,
        method,
    } = case;
    let rows = rows::<C>(photo, target, *method);
    assert_eq!(rows.is_some(), is_valid::<C>(case));
    let Some(rows) = rows else { return };
    assert_eq!(rows.len(), target.rows.len());
    let stride = target.columns.len() * C;
    assert!(rows.iter().all(|row| row.len() == stride));
    if *method != Interpolation::PillowBicubic {
        assert_within(&photo.data, &rows); // no other weight is negative
    }
    if C > 1 {
        assert_channels_are_apart::<C>(case, &rows);
    }
    assert_part_of_whole::<C>(case, &rows);
}

/// Check that weighted means are between minimum and maximum, up to one unit of rounding.
fn assert_within(data: &[u8], rows: &[Vec<u8>]) {
    let lowest = data.iter().min().map_or(0, |value| value.saturating_sub(1));
    let highest = data.iter().max().map_or(0, |value| value.saturating_add(1));
    let mut values = rows.iter().flatten();
    assert!(values.all(|value| (lowest..=highest).contains(value)));
}

/// Check the AVX2 loops, which exist only for RGB, against the plain loops on each channel.
fn assert_channels_are_apart<const C: usize>(case: &Case, rows: &[Vec<u8>]) {
    for channel in 0..C {
        let photo = case.photo.channel(channel, C);
        let alone = self::rows::<1>(&photo, &case.target, case.method).unwrap_or_default();
        for (row, alone) in rows.iter().zip(&alone) {
            let own: Vec<u8> = row.iter().skip(channel).step_by(C).copied().collect();
            assert_eq!(&own, alone);
        }
        assert_eq!(rows.len(), alone.len());
    }
}

fn assert_part_of_whole<const C: usize>(case: &Case, rows: &[Vec<u8>]) {
    let Target {
        height,
        width,
        rows: window,
        columns,
    } = &case.target;
    if height.saturating_mul(*width) > MAX_SIDE || window.is_empty() {
        return;
    }
    let whole = Target::whole(*height, *width);
    let all = self::rows::<C>(&case.photo, &whole, case.method).unwrap_or_default();
    for (row, whole) in rows.iter().zip(&all[window.clone()]) {
        assert_eq!(row[..], whole[columns.start * C..columns.end * C]);
    }
}

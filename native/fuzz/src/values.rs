//! Sizes, numbers and pixels from the fuzzer's bytes.

use arbitrary::{Result, Unstructured};
use native::fuzzing::nms;

/// Extreme numbers.
const ODD: [f32; 12] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    f32::EPSILON,
    1e-45,
    -0.0,
    -1e30,
    1e30,
    16_777_216.0,
];

/// Sides that overflow or exceed any memory.
const HUGE: [usize; 6] = [
    usize::MAX,
    usize::MAX / 2,
    usize::MAX / 3 + 1,
    1 << 53,
    1 << 32,
    u32::MAX as usize,
];

/// Return true once in `n` times; false if the bytes are used up, so short inputs stay ordinary.
pub fn seldom(u: &mut Unstructured, n: u8) -> Result<bool> {
    Ok(!u.ratio(n - 1, n)?)
}

/// Return a side of at most `max_side`; half of them are small.
pub fn side(u: &mut Unstructured, max_side: usize) -> Result<usize> {
    let max_side = if u.arbitrary()? {
        max_side
    } else {
        max_side.min(12)
    };
    u.int_in_range(1..=max_side)
}

/// Return an invalid side.
pub fn no_side(u: &mut Unstructured) -> Result<usize> {
    if u.arbitrary()? {
        Ok(0)
    } else {
        Ok(*u.choose(&HUGE)?)
    }
}

/// Return `count` values of `next` from the remaining bytes, repeated with a shift per round.
fn repeated<T: Copy>(pattern: &[T], count: usize, none: T) -> Vec<T> {
    let place = |i: usize| (i + i / pattern.len().max(1)) % pattern.len().max(1);
    (0..count)
        .map(|i| pattern.get(place(i)).copied().unwrap_or(none))
        .collect()
}

/// Return `count` pixel bytes; a few input bytes are enough for a large image.
pub fn pixels(u: &mut Unstructured, count: usize) -> Result<Vec<u8>> {
    let length = u.len().min(count).min(256);
    Ok(repeated(u.bytes(length)?, count, 0))
}

/// Return `count` floats: small ones with some extreme ones, or arbitrary bits.
pub fn floats(u: &mut Unstructured, count: usize) -> Result<Vec<f32>> {
    let any_bits = seldom(u, 4)?;
    let size = if any_bits { 4 } else { 1 };
    let length = (u.len() / size).min(count).min(512);
    let bytes = u.bytes(length * size)?;
    let pattern: Vec<f32> = if any_bits {
        let words = bytes.as_chunks::<4>().0.iter();
        words.map(|word| f32::from_le_bytes(*word)).collect()
    } else {
        bytes.iter().map(|&byte| small(byte)).collect()
    };
    Ok(repeated(&pattern, count, 0.0))
}

/// Return a number between -8 and 8 in steps of 1/16, or an extreme one.
fn small(byte: u8) -> f32 {
    match ODD.get(255 - usize::from(byte)) {
        Some(&odd) => odd,
        None => (f32::from(byte) - 122.0) / 15.25,
    }
}

/// Return one number, as in `floats`.
pub fn float(u: &mut Unstructured) -> Result<f32> {
    Ok(small(u.arbitrary()?))
}

/// Return a threshold, mostly a probability.
pub fn threshold(u: &mut Unstructured) -> Result<f32> {
    if seldom(u, 8)? {
        return float(u);
    }
    Ok(f32::from(u.int_in_range(1..=63_u8)?) / 64.0)
}

/// Return options of NMS, mostly without limits.
pub fn nms_options(u: &mut Unstructured) -> Result<nms::Options> {
    let limit = |u: &mut Unstructured| {
        if seldom(u, 3)? {
            u.int_in_range(0..=20)
        } else {
            Ok(usize::MAX)
        }
    };
    Ok(nms::Options {
        iou_threshold: threshold(u)?,
        epsilon: if seldom(u, 4)? { float(u)? } else { 0.0 },
        max_candidates: limit(u)?,
        max_per_class: limit(u)?,
        max_detections: limit(u)?,
    })
}

/// Check that the numbers descend and are not NaN.
pub fn assert_descending(scores: &[f32]) {
    assert!(scores.iter().all(|score| !score.is_nan()), "{scores:?}");
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
}

/// Return the bits of numbers, with all NaN values equal.
pub fn bits(values: &[f32]) -> Vec<u32> {
    let one = |value: &f32| if value.is_nan() { f32::NAN } else { *value };
    values.iter().map(|value| one(value).to_bits()).collect()
}

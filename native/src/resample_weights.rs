//! Sample positions and weights along one axis of a resize.
//!
//! The arithmetic equals that of the libraries bit for bit: `OpenCV` `imgproc/resize.cpp`
//! (`resize`, `computeResizeAreaTab`) and Pillow `libImaging/Resample.c` (`precompute_coeffs`).

use std::ops::Range;

/// Fixed-point unit of `OpenCV`'s 8-bit bilinear weights.
const LINEAR_ONE: f32 = 2048.0;
/// Fraction bits of Pillow's 8-bit weights.
pub const PILLOW_BITS: u32 = 22;
/// Half a unit: added to sums so that truncating the fraction bits rounds them.
pub const PILLOW_HALF: i32 = 1 << (PILLOW_BITS - 1);
/// Number of bits in the lower part of a weight in a quad.
pub const QUAD_LOW_BITS: u32 = 11;
/// `OpenCV` ignores an edge sample with a smaller share of a cell.
const AREA_SLIVER: f64 = 1e-3;

/// The two source samples of a bilinear output sample, with weights that sum to 2048.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub at: [u32; 2],
    pub weight: [i16; 2],
}

/// Bilinear pairs of RGB pixels, in a layout for SIMD.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// Offset of the first pixel in the row; the second one follows it.
    pub at: Vec<u32>,
    pub weights: Vec<[i16; 2]>,
}

impl Pairs {
    pub fn new(pairs: &[Pair]) -> Self {
        Self {
            at: pairs.iter().map(|pair| pair.at[0] * 3).collect(),
            weights: pairs.iter().map(|pair| pair.weight).collect(),
        }
    }
}

/// Runs of adjacent source samples with their weights, one run per output sample.
#[derive(Debug, Clone, Default)]
pub struct Runs<W> {
    starts: Vec<usize>,
    ends: Vec<usize>,
    weights: Vec<W>,
}

impl<W> Runs<W> {
    /// Number of output samples.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Return the first source sample of output sample `i`, and the weights of its run.
    pub fn get(&self, i: usize) -> (usize, &[W]) {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        (self.starts[i], &self.weights[begin..self.ends[i]])
    }

    /// Return the range of source samples that the runs use.
    pub fn span(&self) -> Range<usize> {
        let ends = (0..self.len()).map(|i| self.get(i).0 + self.get(i).1.len());
        let first = self.starts.iter().min().copied().unwrap_or(0);
        first..ends.max().unwrap_or(first)
    }

    fn push(&mut self, start: usize, weights: impl IntoIterator<Item = W>) {
        self.starts.push(start);
        self.weights.extend(weights);
        self.ends.push(self.weights.len());
    }
}

/// Four of Pillow's weights: the upper parts of the first and last two, then the lower parts.
///
/// A weight is `upper << QUAD_LOW_BITS | lower`. Both parts fit 16 bits, so sums of their products
/// with 8-bit samples are exact.
pub type Quad = [[i16; 2]; 4];

/// Runs of Pillow's weights over RGB pixels, in groups of four weights, padded with zeros.
#[derive(Debug, Clone, Default)]
pub struct Quads {
    starts: Vec<usize>,
    ends: Vec<usize>,
    weights: Vec<Quad>,
}

impl Quads {
    pub fn new(runs: &Runs<i32>) -> Self {
        let mut quads = Self::default();
        for i in 0..runs.len() {
            let (first, weights) = runs.get(i);
            quads.starts.push(first * 3);
            quads.weights.extend(weights.chunks(4).map(quad));
            quads.ends.push(quads.weights.len());
        }
        quads
    }

    /// Number of output pixels.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Iterate over the output pixels: offset of the first sample in the row, and the weights.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[Quad])> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        self.starts
            .iter()
            .zip(begins.zip(&self.ends))
            .map(|(&start, (begin, &end))| (start, &self.weights[begin..end]))
    }
}

fn quad(weights: &[i32]) -> Quad {
    let weight = |k: usize| weights.get(k).copied().unwrap_or(0);
    let upper = |k: usize| (weight(k) >> QUAD_LOW_BITS) as i16;
    let lower = |k: usize| (weight(k) & ((1 << QUAD_LOW_BITS) - 1)) as i16;
    [
        [upper(0), upper(1)],
        [upper(2), upper(3)],
        [lower(0), lower(1)],
        [lower(2), lower(3)],
    ]
}

/// Return the scale between two lengths, rounded like `OpenCV`: computed through its inverse.
pub fn opencv_scale(from: usize, to: usize) -> f64 {
    1.0 / (to as f64 / from as f64)
}

/// Return the bilinear pairs of `INTER_LINEAR`, or with `area` of `INTER_AREA` for enlarging.
///
/// `clamp` moves a pair at the border onto one sample; `OpenCV` does this along x but not along y.
pub fn linear(from: usize, to: usize, window: Range<usize>, area: bool, clamp: bool) -> Vec<Pair> {
    let last = from as i64 - 1;
    let inverse = to as f64 / from as f64;
    let scale = 1.0 / inverse;
    let pair = |i: usize| {
        let (base, mut fraction) = if area {
            area_enlarging(i as f64, scale, inverse)
        } else {
            let center = ((i as f64 + 0.5) * scale - 0.5) as f32;
            (center.floor() as i64, center - center.floor())
        };
        if clamp && (base < 0 || base >= last) {
            fraction = 0.0;
        }
        let weight = |w: f32| (w * LINEAR_ONE).round_ties_even() as i16;
        Pair {
            at: [base, base + 1].map(|at| at.clamp(0, last) as u32),
            weight: [weight(1.0 - fraction), weight(fraction)],
        }
    };
    window.map(pair).collect()
}

fn area_enlarging(i: f64, scale: f64, inverse: f64) -> (i64, f32) {
    let base = (i * scale).floor();
    let fraction = ((i + 1.0) - (base + 1.0) * inverse) as f32;
    let fraction = if fraction <= 0.0 {
        0.0
    } else {
        fraction - fraction.floor()
    };
    (base as i64, fraction)
}

/// Return the cells of `INTER_AREA` for shrinking: the share of each sample in an output sample.
pub fn area(from: usize, to: usize, window: Range<usize>) -> Runs<f32> {
    let scale = opencv_scale(from, to);
    let mut runs = Runs::default();
    for i in window {
        let begin = i as f64 * scale;
        let end = begin + scale;
        let cell = scale.min(from as f64 - begin);
        let last = (end.floor() as usize).min(from - 1);
        let first = (begin.ceil() as usize).min(last);
        let head = first as f64 - begin;
        let tail = end - last as f64;
        let before = (head > AREA_SLIVER).then_some((head / cell) as f32);
        let after = (tail > AREA_SLIVER).then_some((tail.min(1.0).min(cell) / cell) as f32);
        let whole = std::iter::repeat_n((1.0 / cell) as f32, last - first);
        let start = first - usize::from(before.is_some());
        runs.push(start, before.into_iter().chain(whole).chain(after));
    }
    runs
}

/// Return Pillow's antialiased weights for `filter`, which is zero beyond `support`.
pub fn pillow(
    from: usize,
    to: usize,
    window: Range<usize>,
    filter: fn(f64) -> f64,
    support: f64,
) -> Runs<i32> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = support * stretch;
    let inverse = 1.0 / stretch;
    let mut runs = Runs::default();
    let mut weights = Vec::new();
    for i in window {
        let center = (i as f64 + 0.5) * scale;
        let first = (center - support + 0.5) as usize; // casts saturate: negative values give 0
        let end = ((center + support + 0.5) as usize).min(from);
        weights.clear();
        weights.extend(
            (0..end - first).map(|k| filter(((k + first) as f64 - center + 0.5) * inverse)),
        );
        let total: f64 = weights.iter().fold(0.0, |sum, w| sum + w);
        let divisor = if total == 0.0 { 1.0 } else { total };
        runs.push(first, weights.iter().map(|w| fixed_point(w / divisor)));
    }
    runs
}

fn fixed_point(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1_u32 << PILLOW_BITS)) as i32
}

/// Pillow's `BILINEAR` kernel, of support 1.
pub fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Pillow's `BICUBIC` kernel (Keys, a = -0.5), of support 2.
pub fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn linear_weights_sum_to_one_and_stay_inside(from in 1usize..500, to in 1usize..500) {
            for area in [false, true] {
                for pair in linear(from, to, 0..to, area, true) {
                    prop_assert_eq!(i32::from(pair.weight[0]) + i32::from(pair.weight[1]), 2048);
                    prop_assert!(pair.at[0] <= pair.at[1] && (pair.at[1] as usize) < from);
                }
            }
        }

        #[test]
        fn area_cells_cover_the_source(to in 1usize..300, extra in 0usize..3000) {
            let from = to + extra;
            let runs = area(from, to, 0..to);
            prop_assert_eq!(runs.span(), 0..from);
            for i in 0..to {
                let total: f32 = runs.get(i).1.iter().sum();
                prop_assert!((total - 1.0).abs() < 2e-3, "{}", total);
            }
        }

        #[test]
        fn pillow_weights_sum_to_one(from in 1usize..2000, to in 1usize..500) {
            for (filter, support) in [(triangle as fn(f64) -> f64, 1.0), (cubic, 2.0)] {
                let runs = pillow(from, to, 0..to, filter, support);
                for i in 0..to {
                    let (first, weights) = runs.get(i);
                    let total: i32 = weights.iter().sum();
                    prop_assert!(first + weights.len() <= from);
                    prop_assert!(total.abs_diff(1 << PILLOW_BITS) as usize <= weights.len());
                }
            }
        }

        #[test]
        fn a_window_is_a_slice_of_the_whole(from in 1usize..200, to in 2usize..200, cut in 0usize..100) {
            let cut = cut.min(to - 1);
            let whole = pillow(from, to, 0..to, cubic, 2.0);
            let part = pillow(from, to, cut..to, cubic, 2.0);
            for i in cut..to {
                prop_assert_eq!(whole.get(i), part.get(i - cut));
            }
        }
    }
}

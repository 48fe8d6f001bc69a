//! `OpenCV`'s 8-bit resize: `INTER_LINEAR` in fixed point, `INTER_AREA` with blocks or floats.

use crate::cpu::multiversion;
use crate::image::{Image, Target};
use crate::resample_weights::{self, Pair, Pairs, Runs};
use crate::simd;

/// Resize with `INTER_LINEAR`, or with `area` like `INTER_AREA` for enlarging.
pub fn linear<const C: usize>(
    image: &Image,
    target: &Target,
    area: bool,
    sink: &mut impl FnMut(&[u8]),
) {
    let columns = resample_weights::linear(
        image.width,
        target.width,
        target.columns.clone(),
        area,
        true,
    );
    let rows = resample_weights::linear(
        image.height,
        target.height,
        target.rows.clone(),
        area,
        false,
    );
    let pairs = Pairs::new(&columns);
    let mut out = vec![0; columns.len() * C];
    let blank = || (u32::MAX, vec![0; columns.len() * C]);
    let [mut upper, mut lower] = [blank(), blank()];
    for pair in rows {
        if upper.0 != pair.at[0] && lower.0 == pair.at[0] {
            std::mem::swap(&mut upper, &mut lower);
        }
        for (cache, at) in [(&mut upper, pair.at[0]), (&mut lower, pair.at[1])] {
            if cache.0 != at {
                cache.0 = at;
                linear_row::<C>(image.row(at as usize, C), &columns, &pairs, &mut cache.1);
            }
        }
        linear_mix(&upper.1, &lower.1, pair.weight, &mut out);
        sink(&out);
    }
}

/// Horizontal pass with 11 fraction bits, of which it keeps the upper 7.
fn linear_row<const C: usize>(source: &[u8], columns: &[Pair], pairs: &Pairs, out: &mut [i16]) {
    let done = if C == 3 {
        simd::linear_row(source, pairs, out)
    } else {
        0
    };
    for (pair, pixel) in columns.iter().zip(out.chunks_exact_mut(C)).skip(done) {
        let [left, right] = pair.at.map(|at| &source[at as usize * C..][..C]);
        let [near, far] = pair.weight.map(i32::from);
        for c in 0..C {
            let sum = i32::from(left[c]) * near + i32::from(right[c]) * far;
            pixel[c] = (sum >> 4) as i16;
        }
    }
}

multiversion! {
    /// Vertical pass: products are truncated to 2 fraction bits before the sum is rounded.
    fn linear_mix(upper: &[i16], lower: &[i16], weight: [i16; 2], out: &mut [u8]) {
        let high = |a: i16, w: i16| ((i32::from(a) * i32::from(w)) >> 16) as i16;
        for ((pixel, &a), &b) in out.iter_mut().zip(upper).zip(lower) {
            *pixel = ((high(a, weight[0]) + high(b, weight[1]) + 2) >> 2) as u8;
        }
    }
}

/// Average blocks of whole pixels: `INTER_AREA` for integer scales.
pub fn area_blocks<const C: usize>(
    image: &Image,
    target: &Target,
    (block_height, block_width): (usize, usize),
    sink: &mut impl FnMut(&[u8]),
) {
    let used = target.columns.start * block_width * C..target.columns.end * block_width * C;
    let mut sums = vec![0_u32; used.len()];
    let mut out = vec![0; target.columns.len() * C];
    for y in target.rows.clone() {
        let row = |k: usize| &image.row(y * block_height + k, C)[used.clone()];
        let halve = C == 3 && (block_height, block_width) == (2, 2);
        let done = if halve {
            simd::halve_rows(row(0), row(1), &mut out)
        } else {
            0
        };
        let rest = done * block_width * C;
        sums[rest..].fill(0);
        for k in 0..block_height {
            add_row(&row(k)[rest..], &mut sums[rest..]);
        }
        block_means::<C>(
            &sums[rest..],
            block_height,
            block_width,
            &mut out[done * C..],
        );
        sink(&out);
    }
}

multiversion! {
    fn add_row(row: &[u8], sums: &mut [u32]) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += u32::from(value);
        }
    }
}

multiversion! {
    /// `OpenCV` rounds halves up in 2x2 blocks and to even in all others.
    fn block_means<const C: usize>(sums: &[u32], block_height: usize, block_width: usize, out: &mut [u8]) {
        let scale = (1.0 / (block_height * block_width) as f64) as f32;
        for (block, pixel) in sums.chunks_exact(block_width * C).zip(out.chunks_exact_mut(C)) {
            let mut total = [0_u32; C];
            for sample in block.chunks_exact(C) {
                for c in 0..C {
                    total[c] += sample[c];
                }
            }
            for c in 0..C {
                pixel[c] = if (block_height, block_width) == (2, 2) {
                    ((total[c] + 2) >> 2) as u8
                } else {
                    (total[c] as f32 * scale).round_ties_even() as u8
                };
            }
        }
    }
}

/// Average cells: `INTER_AREA` for shrinking, where pixels are weighted by their share in a cell.
pub fn area_cells<const C: usize>(image: &Image, target: &Target, sink: &mut impl FnMut(&[u8])) {
    let columns = resample_weights::area(image.width, target.width, target.columns.clone());
    let rows = resample_weights::area(image.height, target.height, target.rows.clone());
    let mut out = vec![0; columns.len() * C];
    let mut sums = vec![0.0_f32; out.len()];
    let mut reduced = vec![0.0_f32; out.len()];
    let mut cached = usize::MAX; // adjacent cells share the row between them
    for y in 0..rows.len() {
        let (first, weights) = rows.get(y);
        sums.fill(0.0);
        for (row, &weight) in (first..).zip(weights) {
            if cached != row {
                area_row::<C>(image.row(row, C), &columns, &mut reduced);
                cached = row;
            }
            add_scaled(&reduced, weight, &mut sums);
        }
        round_row(&sums, &mut out);
        sink(&out);
    }
}

multiversion! {
    fn area_row<const C: usize>(source: &[u8], columns: &Runs<f32>, out: &mut [f32]) {
        for (x, pixel) in out.chunks_exact_mut(C).enumerate() {
            let (first, weights) = columns.get(x);
            let mut sum = [0.0_f32; C];
            for (sample, &weight) in source[first * C..].chunks_exact(C).zip(weights) {
                for c in 0..C {
                    sum[c] += f32::from(sample[c]) * weight;
                }
            }
            pixel.copy_from_slice(&sum);
        }
    }
}

multiversion! {
    fn add_scaled(row: &[f32], weight: f32, sums: &mut [f32]) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += value * weight;
        }
    }
}

multiversion! {
    fn round_row(sums: &[f32], out: &mut [u8]) {
        for (value, &sum) in out.iter_mut().zip(sums) {
            *value = sum.round_ties_even() as u8; // saturates
        }
    }
}

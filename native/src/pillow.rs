//! Pillow's 8-bit antialiased resampling: two passes in 22-bit fixed point, with 8-bit results.

use crate::cpu::multiversion;
use crate::image::{Image, Target};
use crate::resample_weights::{self, PILLOW_BITS, PILLOW_HALF, Quads, Runs};
use crate::simd;

/// Resample along x, then along y: the order of Pillow before version 13.
///
/// Pillow 13 starts with y if the height shrinks by more than twice as many pixels as the width. The
/// published accuracies were measured with earlier versions.
pub fn antialiased<const C: usize>(
    image: &Image,
    target: &Target,
    filter: fn(f64) -> f64,
    support: f64,
    sink: &mut impl FnMut(&[u8]),
) {
    let columns = resample_weights::pillow(
        image.width,
        target.width,
        target.columns.clone(),
        filter,
        support,
    );
    let rows = resample_weights::pillow(
        image.height,
        target.height,
        target.rows.clone(),
        filter,
        support,
    );
    let stride = columns.len() * C;
    let span = rows.span();
    let mut narrow = vec![0; span.len() * stride];
    narrow_rows::<C>(image, span.start, &columns, &mut narrow);
    let mut sums = vec![0; stride];
    let mut out = vec![0; stride];
    for y in 0..rows.len() {
        let (first, weights) = rows.get(y);
        sums.fill(PILLOW_HALF);
        for (row, &weight) in narrow[(first - span.start) * stride..]
            .chunks_exact(stride)
            .zip(weights)
        {
            add_weighted(row, weight, &mut sums);
        }
        clip_row(&sums, &mut out);
        sink(&out);
    }
}

/// Number of rows that the horizontal pass processes at a time.
const ROWS: usize = 4;

/// Horizontal pass over rows from `first` on, as many as fit in `out`.
fn narrow_rows<const C: usize>(image: &Image, first: usize, columns: &Runs<i32>, out: &mut [u8]) {
    let stride = columns.len() * C;
    let quads = Quads::new(columns);
    let mut y = first;
    for outs in out.chunks_mut(ROWS * stride) {
        let rows = outs.len() / stride;
        let done = match rows {
            ROWS if C == 3 => narrow_row_group::<ROWS>(image, y, &quads, outs),
            _ => 0, // the last few
        };
        for (y, out) in (y..).zip(outs.chunks_exact_mut(stride)) {
            pillow_row::<C>(image.row(y, C), columns, done, out);
        }
        y += rows;
    }
}

/// Horizontal pass over `R` rows at once; return the number of pixels done in each row.
fn narrow_row_group<const R: usize>(
    image: &Image,
    y: usize,
    quads: &Quads,
    outs: &mut [u8],
) -> usize {
    let stride = image.width * 3;
    let sources = std::array::from_fn(|r| &image.data[(y + r) * stride..]);
    let mut outs = outs.chunks_exact_mut(quads.len() * 3);
    let mut outs: [&mut [u8]; R] = std::array::from_fn(|_| outs.next().unwrap_or_default());
    simd::pillow_rows(sources, quads, &mut outs)
}

fn pillow_clip(sum: i32) -> u8 {
    (sum >> PILLOW_BITS).clamp(0, 255) as u8
}

multiversion! {
    fn pillow_row<const C: usize>(source: &[u8], columns: &Runs<i32>, done: usize, out: &mut [u8]) {
        for (x, pixel) in out.chunks_exact_mut(C).enumerate().skip(done) {
            let (first, weights) = columns.get(x);
            let mut sum = [PILLOW_HALF; C];
            for (sample, &weight) in source[first * C..].chunks_exact(C).zip(weights) {
                for c in 0..C {
                    sum[c] += i32::from(sample[c]) * weight;
                }
            }
            pixel.copy_from_slice(&sum.map(pillow_clip));
        }
    }
}

multiversion! {
    fn add_weighted(row: &[u8], weight: i32, sums: &mut [i32]) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += i32::from(value) * weight;
        }
    }
}

multiversion! {
    fn clip_row(sums: &[i32], out: &mut [u8]) {
        for (value, &sum) in out.iter_mut().zip(sums) {
            *value = pillow_clip(sum);
        }
    }
}

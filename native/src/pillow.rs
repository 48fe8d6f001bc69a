//! Pillow's 8-bit antialiased resampling: two passes in 22-bit fixed point, 8 bits in between.

use crate::dispatch::multiversion;
use crate::resize::{Image, Target};
use crate::taps::{self, PILLOW_BITS, Runs};

/// Resample along x into 8 bits, then along y: the order of every Pillow before 13.
///
/// Pillow 13 goes along y first when the height shrinks by more than twice as many pixels as the
/// width; the published accuracies were measured with its predecessors.
pub fn antialiased<const C: usize>(
    image: &Image,
    target: &Target,
    filter: fn(f64) -> f64,
    support: f64,
    sink: &mut impl FnMut(&[u8]),
) {
    let columns = taps::pillow(
        image.width,
        target.width,
        target.columns.clone(),
        filter,
        support,
    );
    let rows = taps::pillow(
        image.height,
        target.height,
        target.rows.clone(),
        filter,
        support,
    );
    let stride = columns.len() * C;
    let span = rows.span();
    let mut narrow = vec![0; span.len() * stride];
    for (y, row) in span.clone().zip(narrow.chunks_exact_mut(stride)) {
        pillow_row::<C>(image.row(y, C), &columns, row);
    }
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

const PILLOW_HALF: i32 = 1 << (PILLOW_BITS - 1);

fn pillow_clip(sum: i32) -> u8 {
    (sum >> PILLOW_BITS).clamp(0, 255) as u8
}

multiversion! {
    fn pillow_row<const C: usize>(source: &[u8], columns: &Runs<i32>, out: &mut [u8]) {
        for (x, pixel) in out.chunks_exact_mut(C).enumerate() {
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

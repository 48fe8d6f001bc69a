//! The loops that no compiler vectorises: those that pair up neighbouring RGB pixels.
//!
//! Each returns how many output pixels it could do. It stops before the last few, where its wide
//! loads and stores would reach over the end, and does none where the CPU lacks AVX2.

use crate::taps::Pair;

macro_rules! on_avx2 {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub fn $name($($arg: $ty),*) -> usize {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the CPU has just been seen to have AVX2; the code itself is safe Rust.
                return unsafe { avx2::$name($($arg),*) };
            }
            let _ = ($($arg),*);
            0
        }
    };
}

on_avx2! {
    /// Horizontal bilinear pass, to 7 fraction bits.
    fn linear_row(source: &[u8], columns: &[Pair], out: &mut [i16])
}

on_avx2! {
    /// Means of 2x2 blocks, halves rounded up.
    fn halve_rows(upper: &[u8], lower: &[u8], out: &mut [u8])
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi16, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_maddubs_epi16,
        _mm_packus_epi16, _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32,
        _mm_setr_epi8, _mm_shuffle_epi8, _mm_srli_epi16, _mm256_extract_epi64, _mm256_madd_epi16,
        _mm256_packs_epi32, _mm256_set_m128i, _mm256_setr_epi8, _mm256_shuffle_epi8,
        _mm256_srli_epi32,
    };

    use crate::taps::Pair;

    #[target_feature(enable = "avx2")]
    pub fn linear_row(source: &[u8], columns: &[Pair], out: &mut [i16]) -> usize {
        // the two samples of each channel side by side, as 16-bit numbers
        let pairs = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        );
        // 8 bytes from here on are within the row, and so are those of every pixel before
        let Some(last) = source.len().checked_sub(8) else {
            return 0;
        };
        let mut done = 0;
        for group in columns.as_chunks::<4>().0 {
            let place = out
                .get_mut(done * 3..)
                .and_then(<[i16]>::first_chunk_mut::<13>);
            let Some(place) = place else { break };
            let at = group.map(|pair| pair.at[0] as usize * 3);
            if at.iter().any(|&at| at > last) {
                break;
            }
            for k in [0, 2] {
                let pixels = _mm256_set_m128i(load(source, at[k + 1]), load(source, at[k]));
                let weights = _mm256_set_m128i(weights(&group[k + 1]), weights(&group[k]));
                let samples = _mm256_shuffle_epi8(pixels, pairs);
                let sums = _mm256_srli_epi32::<4>(_mm256_madd_epi16(samples, weights));
                let packed = _mm256_packs_epi32(sums, sums);
                // each fourth value is overwritten by the pixel that comes after
                place[3 * k..3 * k + 4].copy_from_slice(&split(_mm256_extract_epi64::<0>(packed)));
                place[3 * k + 3..3 * k + 7]
                    .copy_from_slice(&split(_mm256_extract_epi64::<2>(packed)));
            }
            done += 4;
        }
        done
    }

    #[target_feature(enable = "avx2")]
    pub fn halve_rows(upper: &[u8], lower: &[u8], out: &mut [u8]) -> usize {
        // of 4 pixels, the two samples of each channel side by side
        let pairs = _mm_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1);
        let sum = |row: &[u8; 16]| {
            let [low, high] = [0, 8].map(|at| row[at..].first_chunk().copied().unwrap_or_default());
            let row = _mm_set_epi64x(i64::from_le_bytes(high), i64::from_le_bytes(low));
            _mm_maddubs_epi16(_mm_shuffle_epi8(row, pairs), _mm_set1_epi8(1))
        };
        let mut done = 0;
        loop {
            let a = upper.get(done * 6..).and_then(<[u8]>::first_chunk);
            let b = lower.get(done * 6..).and_then(<[u8]>::first_chunk);
            let place = out.get_mut(done * 3..).and_then(<[u8]>::first_chunk_mut);
            let (Some(a), Some(b), Some(place)) = (a, b, place) else {
                return done;
            };
            let rounded = _mm_add_epi16(_mm_add_epi16(sum(a), sum(b)), _mm_set1_epi16(2));
            let mean = _mm_srli_epi16::<2>(rounded);
            // the last two bytes are overwritten by the pixel that comes after
            *place = _mm_cvtsi128_si64(_mm_packus_epi16(mean, mean)).to_le_bytes();
            done += 2;
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(source: &[u8], at: usize) -> __m128i {
        let bytes = source[at..].first_chunk::<8>().copied().unwrap_or_default();
        _mm_cvtsi64_si128(i64::from_le_bytes(bytes))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn weights(pair: &Pair) -> __m128i {
        let [near, far] = pair.weight.map(i16::to_le_bytes);
        _mm_set1_epi32(i32::from_le_bytes([near[0], near[1], far[0], far[1]]))
    }

    #[inline]
    fn split(packed: i64) -> [i16; 4] {
        [0, 16, 32, 48].map(|shift| (packed >> shift) as i16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_are_weighed_as_one_by_one(
            source in prop::collection::vec(any::<u8>(), 6..90),
            columns in prop::collection::vec((any::<prop::sample::Index>(), 0i16..2049), 0..40),
        ) {
            let pixels = source.len() / 3;
            let columns: Vec<Pair> = columns.into_iter().map(|(at, far)| {
                let at = at.index(pixels - 1) as u32;
                Pair { at: [at, at + 1], weight: [2048 - far, far] }
            }).collect();
            let mut out = vec![0; columns.len() * 3];
            let done = linear_row(&source, &columns, &mut out);
            for (i, &got) in out[..done * 3].iter().enumerate() {
                let pair = columns[i / 3];
                let term = |k: usize| {
                    i32::from(source[pair.at[k] as usize * 3 + i % 3]) * i32::from(pair.weight[k])
                };
                prop_assert_eq!(i32::from(got), (term(0) + term(1)) >> 4);
            }
        }

        #[test]
        fn blocks_are_halved_as_one_by_one(rows in prop::collection::vec(any::<[u8; 2]>(), 0..120)) {
            let (upper, lower): (Vec<u8>, Vec<u8>) = rows.iter().map(|&[a, b]| (a, b)).unzip();
            let mut out = vec![0; rows.len() / 6 * 3];
            let done = halve_rows(&upper, &lower, &mut out);
            for (i, &got) in out[..done * 3].iter().enumerate() {
                let at = i / 3 * 6 + i % 3;
                let sum: u16 = [upper[at], upper[at + 3], lower[at], lower[at + 3]].map(u16::from).iter().sum();
                prop_assert_eq!(u16::from(got), (sum + 2) >> 2);
            }
        }
    }
}

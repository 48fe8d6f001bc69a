//! AVX2 versions of the loops that compilers do not vectorize: those over adjacent RGB pixels, and
//! through tables.
//!
//! Each function returns the number of outputs (pixels, or bytes) that it has written. It stops
//! before the last few, where its wide loads or stores would cross the end of a slice, and returns 0
//! without AVX2.

use crate::resample_weights::{Pairs, Quads};

macro_rules! on_avx2 {
    ($(#[$meta:meta])* fn $name:ident $(<const $c:ident: usize>)? ($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub fn $name $(<const $c: usize>)? ($($arg: $ty),*) -> usize {
            #[cfg(target_arch = "x86_64")]
            if crate::cpu::has_avx2() {
                // SAFETY: the only requirement of the function is the target feature AVX2, and
                // `has_avx2` has just returned true.
                return unsafe { avx2::$name $(::<$c>)? ($($arg),*) };
            }
            let _ = ($($arg),*);
            0
        }
    };
}

on_avx2! {
    /// Horizontal bilinear pass, to 7 fraction bits.
    fn linear_row(source: &[u8], columns: &Pairs, out: &mut [i16])
}

on_avx2! {
    /// Pillow's horizontal pass of `R` rows at once, which share the work on the weights.
    ///
    /// Sources may extend beyond their rows; values there have zero weights.
    fn pillow_rows<const R: usize>(sources: [&[u8]; R], columns: &Quads, outs: &mut [&mut [u8]; R])
}

on_avx2! {
    /// Means of 2x2 blocks, halves rounded up.
    fn halve_rows(upper: &[u8], lower: &[u8], out: &mut [u8])
}

on_avx2! {
    /// The entries of a table at the places that `source` gives.
    fn look_up(table: &[u8; 256], source: &[u8], out: &mut [u8])
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_add_epi16, _mm_add_epi32, _mm_cmpeq_epi32, _mm_cvtsi128_si32,
        _mm_cvtsi128_si64, _mm_loadl_epi64, _mm_loadu_si128, _mm_maddubs_epi16, _mm_max_epu32,
        _mm_movemask_epi8, _mm_packs_epi32, _mm_packus_epi16, _mm_set_epi64x, _mm_set1_epi8,
        _mm_set1_epi16, _mm_set1_epi32, _mm_setr_epi8, _mm_shuffle_epi8, _mm_slli_epi32,
        _mm_srai_epi32, _mm_srli_epi16, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
        _mm256_blendv_epi8, _mm256_broadcastsi128_si256, _mm256_castsi128_si256,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_packs_epi32, _mm256_permutevar8x32_epi32, _mm256_set_m128i, _mm256_set1_epi8,
        _mm256_setr_epi8, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
        _mm256_slli_epi16, _mm256_srli_epi32, _mm256_storeu_si256,
    };

    use crate::resample_weights::{PILLOW_BITS, PILLOW_HALF, Pairs, QUAD_LOW_BITS, Quads};

    #[target_feature(enable = "avx2")]
    pub fn linear_row(source: &[u8], columns: &Pairs, out: &mut [i16]) -> usize {
        // shuffle: the two samples of each channel next to each other, as 16-bit numbers
        let samples = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        );
        // shuffle: drop the padding of two pixels that have four numbers each
        let dense = _mm256_setr_epi8(
            0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1, //
            0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -1, -1, -1, -1,
        );
        let [even, odd] = [0, 1].map(|k| _mm256_setr_epi32(k, k, k, k, k + 2, k + 2, k + 2, k + 2));
        let Some(last) = source.len().checked_sub(8) else {
            return 0;
        };
        let last = _mm_set1_epi32(u32::try_from(last).unwrap_or(u32::MAX).cast_signed());
        let fours = columns.at.as_chunks::<4>().0.iter();
        let mut done = 0;
        for (at, weights) in fours.zip(columns.weights.as_chunks::<4>().0) {
            let place = out.get_mut(done * 3..).and_then(<[i16]>::first_chunk_mut);
            let Some(place) = place else { break };
            let within = _mm_cmpeq_epi32(_mm_max_epu32(load(at), last), last);
            if _mm_movemask_epi8(within) != 0xffff {
                break;
            }
            // SAFETY: the comparison above checked that every `at <= last`, and `last` is at most
            // `source.len() - 8`, so `at + 8 <= source.len()`, as `load_half` requires.
            let [a, b, c, d] = at.map(|at| unsafe { load_half(source, at as usize) });
            let weights = _mm256_castsi128_si256(load(weights));
            let sums = [(a, c, even), (b, d, odd)].map(|(first, second, which)| {
                let pixels = _mm256_set_m128i(second, first);
                let weights = _mm256_permutevar8x32_epi32(weights, which);
                let sums = _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, samples), weights);
                _mm256_srli_epi32::<4>(sums)
            });
            let packed = _mm256_shuffle_epi8(_mm256_packs_epi32(sums[0], sums[1]), dense);
            store(packed, place);
            done += 4;
        }
        done
    }

    /// Store two pixels from each half; the second half overwrites the padding of the first.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(pixels: __m256i, place: &mut [i16; 14]) {
        let halves = [
            _mm256_castsi256_si128(pixels),
            _mm256_extracti128_si256::<1>(pixels),
        ];
        for (half, at) in halves.into_iter().zip([0, 6]) {
            if let Some(eight) = place[at..].first_chunk_mut::<8>() {
                // SAFETY: `eight` is a mutable `[i16; 8]`, which has the 16 bytes that this
                // unaligned store writes.
                unsafe { _mm_storeu_si128(eight.as_mut_ptr().cast(), half) };
            }
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn pillow_rows<const R: usize>(
        sources: [&[u8]; R],
        columns: &Quads,
        outs: &mut [&mut [u8]; R],
    ) -> usize {
        // shuffle: of two pixels per half, the two samples of each channel next to each other
        let samples = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
        );
        let [upper, lower] =
            [0, 2].map(|k| _mm256_setr_epi32(k, k, k, k, k + 1, k + 1, k + 1, k + 1));
        let shortest = sources.iter().map(|source| source.len()).min();
        let Some(last) = shortest.and_then(|length| length.checked_sub(16)) else {
            return 0;
        };
        for (x, (mut at, quads)) in columns.iter().enumerate() {
            let mut high = [_mm256_setzero_si256(); R];
            let mut low = high;
            for quad in quads {
                let weights = _mm256_castsi128_si256(load(quad));
                let high_weights = _mm256_permutevar8x32_epi32(weights, upper);
                let low_weights = _mm256_permutevar8x32_epi32(weights, lower);
                if at > last {
                    return x;
                }
                for r in 0..R {
                    // SAFETY: `at <= last` was checked above, and `last` is the length of the
                    // shortest source minus 16, so `at + 16 <= sources[r].len()`, as
                    // `load_whole` requires.
                    let pixels = unsafe { load_whole(sources[r], at) };
                    let pixels = _mm256_broadcastsi128_si256(pixels);
                    let pixels = _mm256_shuffle_epi8(pixels, samples);
                    high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(pixels, high_weights));
                    low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(pixels, low_weights));
                }
                at += 12;
            }
            for r in 0..R {
                let Some(place) = outs[r].get_mut(x * 3..).and_then(<[u8]>::first_chunk_mut) else {
                    return x;
                };
                // the fourth byte is overwritten by the next pixel
                *place = clipped(high[r], low[r]).to_le_bytes();
            }
        }
        columns.len()
    }

    /// Combine the upper and lower parts of a pixel's sums, round and clip.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn clipped(high: __m256i, low: __m256i) -> i32 {
        let [high, low] = [high, low].map(|sums| {
            let other = _mm256_extracti128_si256::<1>(sums);
            _mm_add_epi32(_mm256_castsi256_si128(sums), other)
        });
        let sum = _mm_add_epi32(_mm_slli_epi32::<{ QUAD_LOW_BITS as i32 }>(high), low);
        let rounded = _mm_add_epi32(sum, _mm_set1_epi32(PILLOW_HALF));
        let value = _mm_srai_epi32::<{ PILLOW_BITS as i32 }>(rounded);
        let words = _mm_packs_epi32(value, value);
        _mm_cvtsi128_si32(_mm_packus_epi16(words, words))
    }

    #[target_feature(enable = "avx2")]
    pub fn halve_rows(upper: &[u8], lower: &[u8], out: &mut [u8]) -> usize {
        // shuffle: of 4 pixels, the two samples of each channel next to each other
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
            // the last two bytes are overwritten by the next pixel
            *place = _mm_cvtsi128_si64(_mm_packus_epi16(mean, mean)).to_le_bytes();
            done += 2;
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn look_up(table: &[u8; 256], source: &[u8], out: &mut [u8]) -> usize {
        let rows = table.as_chunks::<16>().0;
        let row = |k: usize| {
            let row = rows.get(k).copied().unwrap_or_default();
            let [low, high] = [0, 8].map(|at| row[at..].first_chunk().copied().unwrap_or_default());
            let row = _mm_set_epi64x(i64::from_le_bytes(high), i64::from_le_bytes(low));
            _mm256_broadcastsi128_si256(row)
        };
        let rows: [__m256i; 16] = std::array::from_fn(row);
        let (sources, outs) = (source.as_chunks::<32>().0, out.as_chunks_mut::<32>().0);
        for (places, out) in sources.iter().zip(&mut *outs) {
            // SAFETY: `places` has the 32 bytes that this unaligned load reads.
            let places = unsafe { _mm256_loadu_si256(places.as_ptr().cast()) };
            let columns = _mm256_and_si256(places, _mm256_set1_epi8(15));
            // The four high bits choose the row: each halves the candidates. A blend looks at the
            // highest bit of each byte.
            let found = rows.map(|row| _mm256_shuffle_epi8(row, columns));
            let bit = _mm256_slli_epi16::<3>(places);
            let found: [__m256i; 8] =
                std::array::from_fn(|k| _mm256_blendv_epi8(found[2 * k], found[2 * k + 1], bit));
            let bit = _mm256_slli_epi16::<2>(places);
            let found: [__m256i; 4] =
                std::array::from_fn(|k| _mm256_blendv_epi8(found[2 * k], found[2 * k + 1], bit));
            let bit = _mm256_slli_epi16::<1>(places);
            let [low, high]: [__m256i; 2] =
                std::array::from_fn(|k| _mm256_blendv_epi8(found[2 * k], found[2 * k + 1], bit));
            let found = _mm256_blendv_epi8(low, high, places);
            // SAFETY: `out` has the 32 bytes that this unaligned store writes.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), found) };
        }
        sources.len().min(outs.len()) * 32
    }

    /// Load 8 bytes of `source` at offset `at` into the lower half.
    ///
    /// # Safety
    ///
    /// `at + 8 <= source.len()`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_half(source: &[u8], at: usize) -> __m128i {
        debug_assert!(at + 8 <= source.len());
        // SAFETY: by the caller's contract `source` has 8 bytes from `at` on, which this unaligned
        // load reads.
        unsafe { _mm_loadl_epi64(source.as_ptr().add(at).cast()) }
    }

    /// Load 16 bytes of `source` at offset `at`.
    ///
    /// # Safety
    ///
    /// `at + 16 <= source.len()`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_whole(source: &[u8], at: usize) -> __m128i {
        debug_assert!(at + 16 <= source.len());
        // SAFETY: by the caller's contract `source` has 16 bytes from `at` on, which this unaligned
        // load reads.
        unsafe { _mm_loadu_si128(source.as_ptr().add(at).cast()) }
    }

    /// Load four lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load<T: Lane>(lanes: &[T; 4]) -> __m128i {
        const { assert!(size_of::<T>() == 4, "a lane is 4 bytes long") };
        // SAFETY: `lanes` has 16 bytes, by the assertion above, all initialized, because `Lane`
        // types have no padding; this unaligned load reads exactly these.
        unsafe { _mm_loadu_si128(lanes.as_ptr().cast()) }
    }

    /// A type for a 32-bit lane.
    ///
    /// # Safety
    ///
    /// The type must be 4 bytes long and have no padding.
    unsafe trait Lane {}
    // SAFETY: `u32` has 4 bytes and no padding.
    unsafe impl Lane for u32 {}
    // SAFETY: an array of two `i16` has 4 bytes and no padding.
    unsafe impl Lane for [i16; 2] {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample_weights::{self, Pair};
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
            let done = linear_row(&source, &Pairs::new(&columns), &mut out);
            for (i, &got) in out[..done * 3].iter().enumerate() {
                let pair = columns[i / 3];
                let term = |k: usize| {
                    i32::from(source[pair.at[k] as usize * 3 + i % 3]) * i32::from(pair.weight[k])
                };
                prop_assert_eq!(i32::from(got), (term(0) + term(1)) >> 4);
            }
        }

        #[test]
        fn rows_are_weighed_as_one_by_one(
            (from, to) in (1usize..60, 1usize..60),
            seed in any::<u8>(),
        ) {
            let columns = resample_weights::pillow(from, to, 0..to, resample_weights::cubic, 2.0);
            let quads = Quads::new(&columns);
            let rows: [Vec<u8>; 4] = [0, 7, 40, 99].map(|k| {
                (0..from * 3 + 20).map(|i| (i * i * 31 + k) as u8 ^ seed).collect()
            });
            let mut outs: [Vec<u8>; 4] = std::array::from_fn(|_| vec![0; to * 3]);
            let [a, b, c, d] = &mut outs;
            let sources = [&rows[0][..], &rows[1], &rows[2], &rows[3]];
            let done = pillow_rows(sources, &quads, &mut [a, b, c, d]);
            for (row, out) in rows.iter().zip(&outs) {
                for (i, &got) in out[..done * 3].iter().enumerate() {
                    let (first, weights) = columns.get(i / 3);
                    let sum: i64 = weights.iter().enumerate().map(|(k, &weight)| {
                        i64::from(row[(first + k) * 3 + i % 3]) * i64::from(weight)
                    }).sum();
                    let half = 1_i64 << (resample_weights::PILLOW_BITS - 1);
                    let expected = ((sum + half) >> resample_weights::PILLOW_BITS).clamp(0, 255);
                    prop_assert_eq!(i64::from(got), expected);
                }
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

//! Parallel processing of the images of a batch.

use std::panic::resume_unwind;
use std::thread::{available_parallelism, scope};

/// Minimum number of values per thread; for fewer, starting a thread costs more than it saves.
const MIN_WORK_PER_THREAD: usize = 1 << 19;

/// Return `f(image)` for every image, in order. `work` is the total number of values.
pub fn map<T: Send>(images: usize, work: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let max_threads = images.min(work / MIN_WORK_PER_THREAD);
    if max_threads < 2 {
        return (0..images).map(f).collect();
    }
    let threads = available_parallelism()
        .map_or(1, usize::from)
        .min(max_threads);
    let share = images.div_ceil(threads);
    let f = &f;
    scope(|scope| {
        let shares: Vec<_> = (0..images)
            .step_by(share)
            .map(|first| {
                let range = first..(first + share).min(images);
                scope.spawn(move || range.map(f).collect::<Vec<T>>())
            })
            .collect();
        let done = shares.into_iter();
        done.flat_map(|share| share.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_image_has_its_turn(images in 0usize..40, work in 0usize..1 << 24) {
            let expected: Vec<usize> = (0..images).map(|i| i * i).collect();
            prop_assert_eq!(map(images, work, |i| i * i), expected);
        }
    }
}

//! One loop, compiled twice: for the baseline CPU and, where there is one, for AVX2.
//!
//! Wheels are built for baseline `x86_64` (SSE2), which lacks the integer widening and multiplies
//! that image loops live on. AVX2 without FMA changes no result: every lane rounds as a scalar.

/// Define `$name` as a function that runs its body compiled for AVX2 when the CPU has it.
macro_rules! multiversion {
    ($(#[$meta:meta])* fn $name:ident $(<const $c:ident: usize>)? ($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        fn $name $(<const $c: usize>)? ($($arg: $ty),*) {
            #[inline(always)]
            fn body $(<const $c: usize>)? ($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2 $(<const $c: usize>)? ($($arg: $ty),*) {
                    body $(::<$c>)? ($($arg),*);
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the CPU has AVX2, as was just detected, and nothing else is asked of
                    // the caller: the body is safe Rust.
                    return unsafe { avx2 $(::<$c>)? ($($arg),*) };
                }
            }
            body $(::<$c>)? ($($arg),*);
        }
    };
}

pub(crate) use multiversion;

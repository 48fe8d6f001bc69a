//! One loop, compiled twice: for the baseline CPU and, where there is one, for AVX2.
//!
//! Wheels are built for baseline `x86_64` (SSE2), which lacks the integer widening and multiplies
//! that image loops live on. AVX2 without FMA changes no result: every lane rounds as a scalar.

use std::sync::OnceLock;

/// Whether the CPU has AVX2, and `FURIOSA_MODELS_AVX2=0` does not say to do without it, as tests do.
pub(crate) fn has_avx2() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let is_off = std::env::var_os("FURIOSA_MODELS_AVX2").is_some_and(|value| value == "0");
        !is_off && is_detected()
    })
}

#[cfg(target_arch = "x86_64")]
fn is_detected() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_detected() -> bool {
    false
}

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
                if crate::cpu::has_avx2() {
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

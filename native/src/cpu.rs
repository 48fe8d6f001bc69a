//! Functions compiled twice, for the baseline CPU and for AVX2, and selected at run time.
//!
//! Wheels are built for baseline `x86_64` (SSE2), which lacks the integer widening and multiply
//! instructions that image loops need. AVX2 without FMA gives the same results, because every lane
//! rounds like a scalar.

use std::sync::OnceLock;

/// Return whether to use AVX2: the CPU has it, and `FURIOSA_MODELS_AVX2=0` does not disable it.
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

/// Define a function `$name` whose body is also compiled for AVX2, and runs so if the CPU has it.
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
                    // SAFETY: `avx2` is safe Rust apart from its `target_feature`, and `has_avx2`
                    // has just returned true, so the CPU has AVX2.
                    return unsafe { avx2 $(::<$c>)? ($($arg),*) };
                }
            }
            body $(::<$c>)? ($($arg),*);
        }
    };
}

pub(crate) use multiversion;

//! Run every target on its stored inputs, and on pseudorandom bytes that never change.
//!
//! Stored inputs once crashed a kernel. Those of `resize` reveal bugs that were put into the AVX2 loops
//! to test the target: a read past the end, and wrong rounding.

use std::fs;
use std::path::Path;

use furiosa_models_native_fuzz::TARGETS;

/// Number of pseudorandom inputs per target.
const INPUTS: u64 = 1500;

#[test]
fn kept_inputs() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (name, target) in TARGETS {
        for entry in fs::read_dir(kept.join(name)).into_iter().flatten() {
            let path = entry.expect("the folder is readable").path();
            println!("{}", path.display());
            target(&fs::read(path).expect("the file is readable"));
        }
    }
}

#[test]
fn made_up_inputs() {
    for (name, target) in TARGETS {
        for seed in 1..=INPUTS {
            println!("{name} {seed}");
            target(&made_up(seed));
        }
    }
}

/// Return up to 400 pseudorandom bytes (xorshift).
fn made_up(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = next() % 400;
    (0..length).map(|_| (next() >> 32) as u8).collect()
}

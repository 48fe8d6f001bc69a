//! Fuzz targets: each kernel on mostly valid shapes, with checks of its results.
//!
//! A target builds a case from the fuzzer's bytes, runs the kernel and compares the result with a
//! simple reference. Invalid arguments must give an error, never a panic.

pub mod lookup;
pub mod maps;
pub mod nms;
pub mod normalize;
pub mod prepare;
pub mod resize;
pub mod ssd;
pub mod top_k;
mod values;
pub mod yolo;

/// A target, which panics if a check fails.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 9] = [
    ("lookup", lookup::run),
    ("maps", maps::run),
    ("nms", nms::run),
    ("normalize", normalize::run),
    ("prepare", prepare::run),
    ("resize", resize::run),
    ("ssd", ssd::run),
    ("top_k", top_k::run),
    ("yolo", yolo::run),
];

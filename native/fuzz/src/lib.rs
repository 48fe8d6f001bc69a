//! What is fuzzed: each kernel on shapes that mostly fit, with what must hold of its results.
//!
//! A target makes a case of the fuzzer's bytes, runs the kernel and compares it with a plain
//! reading of what it promises. An argument that does not fit must be an error, never a panic.

pub mod nms;
pub mod normalize;
pub mod prepare;
pub mod resize;
pub mod ssd;
pub mod top_k;
mod values;
pub mod yolo;

/// A target: it panics where the kernel breaks a promise.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 7] = [
    ("nms", nms::run),
    ("normalize", normalize::run),
    ("prepare", prepare::run),
    ("resize", resize::run),
    ("ssd", ssd::run),
    ("top_k", top_k::run),
    ("yolo", yolo::run),
];

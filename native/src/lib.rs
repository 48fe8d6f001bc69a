//! Pre- and postprocessing kernels of `furiosa_models`.
//!
//! All modules are plain Rust on slices, except `python`, the binding, which needs the feature of
//! that name. `fuzzing` is the API for other Rust crates. Every kernel has a numpy counterpart in
//! `furiosa_models/` with the same results: pixels and the order of suppression bit for bit, scores
//! and boxes, which involve exponentials, to 1e-6 (of the photo's side, for boxes). Kernels must not
//! panic on any input.

mod assignment;
mod boxes;
mod candidates;
mod canvas;
mod center_pose;
mod cpu;
mod detections;
mod error;
mod feature_maps;
pub mod fuzzing;
mod image;
mod lookup;
mod maps;
mod nms;
#[cfg(feature = "python")]
mod onnxruntime;
mod opencv;
mod parallel;
mod pillow;
#[cfg(feature = "python")]
mod python;
mod ranking;
mod resample_weights;
mod resize;
mod simd;
mod ssd;
mod yolo;

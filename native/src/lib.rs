//! Pre- and postprocessing kernels of `furiosa_models`.
//!
//! Every module here is plain Rust on slices; `python` is the only one that knows Python, and it is
//! left out without the feature of that name. `fuzzing` is what Rust sees from outside. Numbers
//! are the contract: each kernel has a numpy twin in `furiosa_models/`. Resizing, scores and
//! suppression give the same bits as theirs; boxes, which take exponentials, agree to 1e-6 of the
//! photo's side. No kernel may panic on any input.

mod boxes;
mod candidates;
mod canvas;
mod cpu;
mod detections;
mod error;
mod feature_maps;
pub mod fuzzing;
mod image;
mod nms;
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

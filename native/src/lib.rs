//! Pre- and postprocessing kernels of `furiosa_models`.
//!
//! Every module here is plain Rust on slices; `python` is the only one that knows Python, and it is
//! left out without the feature of that name. `kernels` is what Rust sees from outside. Numbers
//! are the contract: each kernel has a numpy twin in `furiosa_models/`. Resizing, scores and
//! suppression give the same bits as theirs; boxes, which take exponentials, agree to 1e-6 of the
//! photo's side. No kernel may panic on any input.

mod batch;
mod boxes;
mod classify;
mod detections;
mod dispatch;
mod error;
mod image;
pub mod kernels;
mod levels;
mod nms;
mod opencv;
mod pillow;
mod prepare;
#[cfg(feature = "python")]
mod python;
mod resize;
mod scan;
mod simd;
mod ssd;
mod taps;
mod yolo;

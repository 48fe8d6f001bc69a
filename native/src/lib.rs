//! Pre- and postprocessing kernels of `furiosa_models`.
//!
//! Every module here is plain Rust on slices and views; `python` is the only one that knows Python.

mod python;

//! Python binding: checks arguments, and releases the GIL while a kernel runs.

mod arrays;
mod center_pose;
mod images;
mod maps;
mod outputs;
mod ssd;
mod yolo;

use pyo3::prelude::*;

/// The instructions that the kernels use on this machine: `avx2`, or `baseline`.
#[pyfunction]
fn instructions() -> &'static str {
    if crate::cpu::has_avx2() {
        "avx2"
    } else {
        "baseline"
    }
}

/// Register the extension module's functions.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(instructions, module)?)?;
    module.add_function(wrap_pyfunction!(images::resize, module)?)?;
    module.add_function(wrap_pyfunction!(images::prepare, module)?)?;
    module.add_function(wrap_pyfunction!(images::normalize, module)?)?;
    module.add_function(wrap_pyfunction!(outputs::box_iou, module)?)?;
    module.add_function(wrap_pyfunction!(outputs::batched_nms, module)?)?;
    module.add_function(wrap_pyfunction!(outputs::assign, module)?)?;
    module.add_function(wrap_pyfunction!(center_pose::decode_center_pose, module)?)?;
    module.add_function(wrap_pyfunction!(ssd::decode_ssd, module)?)?;
    module.add_function(wrap_pyfunction!(yolo::decode_yolo, module)?)?;
    module.add_function(wrap_pyfunction!(outputs::top_k, module)?)?;
    module.add_function(wrap_pyfunction!(maps::choose_classes, module)?)?;
    module.add_function(wrap_pyfunction!(maps::resize_alpha, module)?)?;
    module.add_function(wrap_pyfunction!(maps::resize_masks, module)?)
}

//! The Python binding: argument checks, views in, arrays out, GIL released in between.

use pyo3::prelude::*;

/// Register the extension module's functions.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

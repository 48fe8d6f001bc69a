//! Checked views of numpy arrays, and conversion of errors to Python exceptions.

use std::fmt::Debug;

use numpy::{
    BorrowError, Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Error;

pyo3::import_exception!(furiosa_models.errors, ShapeError);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Shape { .. } => ShapeError::new_err(error.to_string()),
            Error::Value { .. } => PyValueError::new_err(error.to_string()),
        }
    }
}

/// A dense array of `N` dimensions to read. Arrays with another layout are copied.
pub struct Input<'py, T: Element, const N: usize> {
    array: PyReadonlyArrayDyn<'py, T>,
    pub shape: [usize; N],
    what: &'static str,
}

impl<'py, T: Element, const N: usize> Input<'py, T, N> {
    /// Check and view `value`.
    pub fn new(what: &'static str, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut array = downcast::<T>(what, value)?;
        if !(array.is_c_contiguous() && array.is_aligned()) {
            array = downcast::<T>(what, &value.call_method0("copy")?)?;
        }
        let shape = dimensions(what, array.shape())?;
        let array = array
            .try_readonly()
            .map_err(|e| borrowed(what, "an array", &e))?;
        Ok(Self { array, shape, what })
    }

    /// The elements in C order.
    pub fn values(&self) -> Result<&[T], Error> {
        self.array
            .as_slice()
            .map_err(|e| Error::value(self.what, e))
    }
}

/// A dense array of `N` dimensions to write.
pub struct Output<'py, T: Element, const N: usize> {
    array: PyReadwriteArrayDyn<'py, T>,
    pub shape: [usize; N],
}

impl<'py, T: Element, const N: usize> Output<'py, T, N> {
    /// Check and view `value`.
    pub fn new(value: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = downcast::<T>("out", value)?;
        if !(array.is_c_contiguous() && array.is_aligned()) {
            return Err(Error::shape("out", "a C-contiguous array", "another layout").into());
        }
        let shape = dimensions("out", array.shape())?;
        let array = array
            .try_readwrite()
            .map_err(|e| borrowed("out", "a writable array", &e))?;
        Ok(Self { array, shape })
    }

    /// The elements in C order.
    pub fn values(&mut self) -> Result<&mut [T], Error> {
        self.array
            .as_slice_mut()
            .map_err(|e| Error::value("out", e))
    }
}

fn downcast<'py, T: Element>(
    what: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let array = value.cast::<PyArrayDyn<T>>().cloned();
    array.map_err(|_| {
        let expected = format!("a numpy array of {}", T::get_dtype(value.py()));
        let got = value
            .getattr("dtype")
            .map_or_else(|_| value.get_type().to_string(), |d| d.to_string());
        Error::shape(what, expected, got).into()
    })
}

fn dimensions<const N: usize>(what: &'static str, shape: &[usize]) -> Result<[usize; N], Error> {
    shape
        .try_into()
        .map_err(|_| Error::shape(what, format!("{N} dimensions"), format!("shape {shape:?}")))
}

fn borrowed(what: &'static str, array: &str, error: &BorrowError) -> Error {
    let expected = format!("{array} that shares no memory with another argument");
    Error::shape(what, expected, error.to_string())
}

/// Check that two values are equal. The name `what` labels their numbers.
pub fn check_equal<T: PartialEq + Debug>(
    what: &'static str,
    expected: &T,
    got: &T,
) -> Result<(), Error> {
    let error = || Error::shape(what, format!("{expected:?}"), format!("{got:?}"));
    if expected == got {
        Ok(())
    } else {
        Err(error())
    }
}

/// Check that no dimension is 0.
pub fn check_not_empty(what: &'static str, shape: &[usize]) -> Result<(), Error> {
    let error = || Error::shape(what, "no empty dimension", format!("shape {shape:?}"));
    if shape.contains(&0) {
        Err(error())
    } else {
        Ok(())
    }
}

/// Return the values as rows of length `N`, which must be the array's width.
pub fn rows<'a, const N: usize>(
    what: &'static str,
    width: usize,
    values: &'a [f32],
) -> Result<&'a [[f32; N]], Error> {
    if width != N {
        return Err(Error::shape(
            what,
            format!("shape (n, {N})"),
            format!("shape (n, {width})"),
        ));
    }
    Ok(values.as_chunks().0)
}

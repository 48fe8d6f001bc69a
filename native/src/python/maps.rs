//! Functions on maps, which give an array of the photo's size.

use numpy::{Element, IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;

use super::arrays::Input;
use crate::error::Error;
use crate::maps::{self, Axis, Scores, Window};

/// Class ids are 8-bit up to this number of classes; the largest value is for pixels without one.
const MAX_NARROW: usize = 255;

/// Return the best class of each pixel of the photo: uint8, or uint16 for more than 255 classes.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // three columns of each axis
pub fn choose_classes<'py>(
    py: Python<'py>,
    scores: &Bound<'py, PyAny>,
    top: &Bound<'py, PyAny>,
    bottom: &Bound<'py, PyAny>,
    down: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    across: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let scores = Input::<f32, 3>::new("scores", scores)?;
    let [classes, height, width] = scores.shape;
    let (rows, columns) = (
        Columns::new([top, bottom, down])?,
        Columns::new([left, right, across])?,
    );
    let values = Scores::new(scores.values()?, scores.shape)?;
    let (y, x) = (rows.axis(height)?, columns.axis(width)?);
    let shape = [rows.length(), columns.length()];
    if classes > MAX_NARROW {
        let ids = py.detach(|| maps::choose_classes(values, y, x, |id| id));
        array(py, ids, shape)
    } else {
        let ids = py.detach(|| maps::choose_classes(values, y, x, |id| id as u8));
        array(py, ids, shape)
    }
}

/// Return the opacity of each pixel of the photo, 0 to 255.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // three columns of each axis
pub fn resize_alpha<'py>(
    py: Python<'py>,
    values: &Bound<'py, PyAny>,
    top: &Bound<'py, PyAny>,
    bottom: &Bound<'py, PyAny>,
    down: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    across: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let values = Input::<f32, 2>::new("values", values)?;
    let [height, width] = values.shape;
    let (rows, columns) = (
        Columns::new([top, bottom, down])?,
        Columns::new([left, right, across])?,
    );
    let (y, x) = (rows.axis(height)?, columns.axis(width)?);
    let map = values.values()?;
    let alpha = py.detach(|| maps::resize_alpha(map, width, y, x));
    array(py, alpha, [rows.length(), columns.length()])
}

/// Return the masks of a photo, (n, rows, bytes) uint8 of bits, and the sum of the values in each.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // three columns of each axis
pub fn resize_masks<'py>(
    py: Python<'py>,
    values: &Bound<'py, PyAny>,
    top: &Bound<'py, PyAny>,
    bottom: &Bound<'py, PyAny>,
    down: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    right: &Bound<'py, PyAny>,
    across: &Bound<'py, PyAny>,
    windows: &Bound<'py, PyAny>,
    threshold: f32,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let values = Input::<f32, 3>::new("values", values)?;
    let [count, height, width] = values.shape;
    let (rows, columns) = (
        Columns::new([top, bottom, down])?,
        Columns::new([left, right, across])?,
    );
    let (y, x) = (rows.axis(height)?, columns.axis(width)?);
    let windows = Input::<i32, 2>::new("windows", windows)?;
    if windows.shape != [count, 4] {
        let got = format!("{:?}", windows.shape);
        return Err(Error::shape("windows", format!("({count}, 4)"), got).into());
    }
    let (height_of_photo, width_of_photo) = (rows.length(), columns.length());
    let parts = windows
        .values()?
        .chunks_exact(4)
        .map(|w| Window::new([w[0], w[1], w[2], w[3]], height_of_photo, width_of_photo))
        .collect::<Result<Vec<_>, _>>()?;
    let map = values.values()?;
    let masks = py.detach(|| maps::resize_masks(map, [height, width], y, x, &parts, threshold));
    let shape = [count, height_of_photo, width_of_photo.div_ceil(8)];
    let bits = masks.bits.into_pyarray(py).reshape(shape)?.into_any();
    Ok((bits, masks.sums.into_pyarray(py).into_any()))
}

/// The columns of an axis: samples before and behind each pixel, and the weight of the latter.
struct Columns<'py> {
    low: Input<'py, i32, 1>,
    high: Input<'py, i32, 1>,
    weight: Input<'py, f32, 1>,
}

impl<'py> Columns<'py> {
    fn new([low, high, weight]: [&Bound<'py, PyAny>; 3]) -> PyResult<Self> {
        Ok(Self {
            low: Input::new("an axis", low)?,
            high: Input::new("an axis", high)?,
            weight: Input::new("an axis", weight)?,
        })
    }

    fn axis(&self, samples: usize) -> Result<Axis<'_>, Error> {
        let (low, high) = (self.low.values()?, self.high.values()?);
        Axis::new(low, high, self.weight.values()?, samples)
    }

    fn length(&self) -> usize {
        self.low.shape[0]
    }
}

fn array<T: Element>(
    py: Python<'_>,
    pixels: Vec<T>,
    shape: [usize; 2],
) -> PyResult<Bound<'_, PyAny>> {
    Ok(pixels.into_pyarray(py).reshape(shape)?.into_any())
}

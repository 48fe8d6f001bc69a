//! Functions on images and on a network's input, which write to arrays of the caller.

use pyo3::prelude::*;

use super::arrays::{Input, Output, check_equal, check_not_empty};
use crate::canvas::{self as canvas, CHANNELS, Layout};
use crate::error::Error;
use crate::image::{Image, Target};
use crate::resize::{Interpolation, resize as resize_image};

/// Resize the image to the shape of `out`.
#[pyfunction]
pub fn resize(
    py: Python<'_>,
    image: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    interpolation: &str,
) -> PyResult<()> {
    let image = Input::<u8, 3>::new("image", image)?;
    let mut out = Output::<u8, 3>::new(out)?;
    let ([height, width, channels], [rows, columns, _]) = (image.shape, out.shape);
    check_equal("channels of out", &channels, &out.shape[2])?;
    check_not_empty("image", &image.shape)?;
    check_not_empty("out", &out.shape)?;
    let source = Image {
        data: image.values()?,
        height,
        width,
    };
    let target = Target::whole(rows, columns);
    let method = Interpolation::parse(interpolation)?;
    let mut lines = out.values()?.chunks_exact_mut(columns * channels);
    let sink = |row: &[u8]| {
        if let Some(line) = lines.next() {
            line.copy_from_slice(row);
        }
    };
    let done = match channels {
        1 => py.detach(|| resize_image::<1>(&source, &target, method, sink)),
        3 => py.detach(|| resize_image::<3>(&source, &target, method, sink)),
        _ => Err(Error::shape(
            "image",
            "1 or 3 channels",
            channels.to_string(),
        )),
    };
    Ok(done?)
}

/// Resize the image and place it on the canvas `out`, channels first.
#[pyfunction]
#[pyo3(signature = (image, out, *, resized, offset, fill, reverse, interpolation))]
#[allow(clippy::too_many_arguments)] // one keyword each; the core takes a struct
pub fn prepare(
    py: Python<'_>,
    image: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    resized: (usize, usize),
    offset: (i64, i64),
    fill: u8,
    reverse: bool,
    interpolation: &str,
) -> PyResult<()> {
    let image = Input::<u8, 3>::new("image", image)?;
    let mut out = Output::<u8, 3>::new(out)?;
    let ([height, width, channels], [planes, rows, columns]) = (image.shape, out.shape);
    check_equal("channels of image", &CHANNELS, &channels)?;
    check_equal("channels of out", &CHANNELS, &planes)?;
    check_not_empty("image", &image.shape)?;
    check_not_empty("resized", &[resized.0, resized.1])?;
    let interpolation = Interpolation::parse(interpolation)?;
    let layout = Layout {
        canvas: (rows, columns),
        resized,
        offset,
        fill,
        reverse,
        interpolation,
    };
    let source = Image {
        data: image.values()?,
        height,
        width,
    };
    let values = out.values()?;
    Ok(py.detach(|| canvas::prepare(&source, &layout, values))?)
}

/// Write `(tensor - mean) / std` to `out`.
#[pyfunction]
pub fn normalize(
    py: Python<'_>,
    tensor: &Bound<'_, PyAny>,
    mean: [f32; CHANNELS],
    std: [f32; CHANNELS],
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let tensor = Input::<u8, 4>::new("tensor", tensor)?;
    let mut out = Output::<f32, 4>::new(out)?;
    check_equal("shape of out", &tensor.shape, &out.shape)?;
    check_equal("channels of tensor", &CHANNELS, &tensor.shape[1])?;
    let plane = tensor.shape[2] * tensor.shape[3];
    let (from, to) = (tensor.values()?, out.values()?);
    py.detach(|| {
        let planes = from
            .chunks_exact(plane.max(1))
            .zip(to.chunks_exact_mut(plane.max(1)));
        for (i, (from, to)) in planes.enumerate() {
            canvas::normalize(from, mean[i % CHANNELS], std[i % CHANNELS], to);
        }
    });
    Ok(())
}

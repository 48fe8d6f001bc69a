//! Binding of the decoder of `MoveNet` `MultiPose`.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods};
use pyo3::prelude::*;

use super::arrays::{Input, check_equal};
use crate::center_pose::{CHANNELS, KEYPOINTS, decode};

/// Boxes, scores and keypoints.
type Found<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray3<f32>>,
);

/// Return the people of every image of a batch of maps, in cells.
#[pyfunction]
#[pyo3(signature = (center, box_scale, box_offset, keypoint_heat, keypoint_guess, keypoint_offset,
    *, max_detections))]
#[allow(clippy::too_many_arguments)] // one map each
pub fn decode_center_pose<'py>(
    py: Python<'py>,
    center: &Bound<'py, PyAny>,
    box_scale: &Bound<'py, PyAny>,
    box_offset: &Bound<'py, PyAny>,
    keypoint_heat: &Bound<'py, PyAny>,
    keypoint_guess: &Bound<'py, PyAny>,
    keypoint_offset: &Bound<'py, PyAny>,
    max_detections: usize,
) -> PyResult<Vec<Found<'py>>> {
    let inputs = [
        Input::<f32, 4>::new("center", center)?,
        Input::<f32, 4>::new("box_scale", box_scale)?,
        Input::<f32, 4>::new("box_offset", box_offset)?,
        Input::<f32, 4>::new("keypoint_heat", keypoint_heat)?,
        Input::<f32, 4>::new("keypoint_guess", keypoint_guess)?,
        Input::<f32, 4>::new("keypoint_offset", keypoint_offset)?,
    ];
    let [images, _, height, width] = inputs[0].shape;
    let mut maps: [&[f32]; 6] = [&[]; 6];
    for ((map, input), channels) in maps.iter_mut().zip(&inputs).zip(CHANNELS) {
        check_equal("maps", &[images, channels, height, width], &input.shape)?;
        *map = input.values()?;
    }
    let batch = py.detach(|| decode(maps, images, height, width, max_detections))?;
    let found = batch.into_iter().map(|people| {
        let count = people.scores.len();
        let boxes = people.boxes.into_flattened().into_pyarray(py);
        let points = people.keypoints.into_flattened().into_pyarray(py);
        Ok((
            boxes.reshape([count, 4])?,
            people.scores.into_pyarray(py),
            points.reshape([count, KEYPOINTS, 3])?,
        ))
    });
    found.collect()
}

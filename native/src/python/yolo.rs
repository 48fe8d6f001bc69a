//! Binding of the YOLO decoder.

use numpy::{IntoPyArray, PyArray3, PyArrayMethods};
use pyo3::prelude::*;

use super::arrays::{Input, check_equal};
use super::outputs::{Arrays, Limits, arrays, inputs, nms_options};
use crate::error::Error;
use crate::feature_maps::FeatureMap;
use crate::yolo;

/// Boxes, scores and class ids, and the keypoints.
type Found<'py> = (Arrays<'py>, Bound<'py, PyArray3<f32>>);

/// Return the detections of every image of a batch of raw YOLO maps.
#[pyfunction]
#[pyo3(signature = (first_maps, second_maps, anchors, strides, *, keypoints, with_sigmoid,
    least_score, iou_threshold, epsilon, limits))]
#[allow(clippy::too_many_arguments)] // one keyword each; the core takes a struct
pub fn decode_yolo<'py>(
    py: Python<'py>,
    first_maps: Vec<Bound<'py, PyAny>>,
    second_maps: Vec<Bound<'py, PyAny>>,
    anchors: &Bound<'py, PyAny>,
    strides: Vec<f32>,
    keypoints: usize,
    with_sigmoid: bool,
    least_score: f32,
    iou_threshold: f32,
    epsilon: f32,
    limits: Limits,
) -> PyResult<Vec<Found<'py>>> {
    let first_maps = inputs("first_maps", first_maps)?;
    let second_maps = inputs("second_maps", second_maps)?;
    let anchors = Input::<f32, 3>::new("anchors", anchors)?;
    let (levels, images, channels) = levels(&first_maps, &second_maps, &anchors, strides)?;
    let mut options = yolo::Options {
        classes: 0,
        keypoints,
        sigmoid: with_sigmoid,
        score_threshold: least_score,
        nms: nms_options(iou_threshold, epsilon, limits),
    };
    options.classes = channels.saturating_sub(options.channels());
    let batch = py.detach(|| yolo::decode(&levels, images, &options))?;
    let found = batch.into_iter().map(|(found, points)| {
        let shape = [found.scores.len(), keypoints, 3];
        let points = points.into_pyarray(py).reshape(shape)?;
        Ok((arrays(py, found)?, points))
    });
    found.collect()
}

/// Return the feature maps for the core, the batch size and the number of channels per anchor.
fn levels<'a>(
    first_maps: &'a [Input<'_, f32, 4>],
    second_maps: &'a [Input<'_, f32, 4>],
    anchors: &'a Input<'_, f32, 3>,
    strides: Vec<f32>,
) -> Result<(Vec<FeatureMap<'a>>, usize, usize), Error> {
    let [count, per_cell, two] = anchors.shape;
    check_equal("last dimension of anchors", &2, &two)?;
    check_equal("number of first_maps", &count, &first_maps.len())?;
    check_equal("number of strides", &count, &strides.len())?;
    if !second_maps.is_empty() {
        check_equal("number of second_maps", &count, &second_maps.len())?;
    }
    let sizes = anchors.values()?.as_chunks().0;
    let mut levels = Vec::with_capacity(count);
    let (mut images, mut channels) = (0, 0);
    for (i, (map, stride)) in first_maps.iter().zip(strides).enumerate() {
        let [n, mut total, height, width] = map.shape;
        let mut second: &[f32] = &[];
        if let Some(map) = second_maps.get(i) {
            let [its_n, more, its_height, its_width] = map.shape;
            check_equal(
                "(n, height, width) of second_maps",
                &(n, height, width),
                &(its_n, its_height, its_width),
            )?;
            total += more;
            second = map.values()?;
        }
        if i == 0 {
            (images, channels) = (n, total / per_cell.max(1));
        }
        check_equal(
            "(n, channels) of maps",
            &(images, channels * per_cell),
            &(n, total),
        )?;
        levels.push(FeatureMap {
            first: map.values()?,
            second,
            width,
            cells: height * width,
            stride,
            anchors: &sizes[i * per_cell..][..per_cell],
        });
    }
    Ok((levels, images, channels))
}

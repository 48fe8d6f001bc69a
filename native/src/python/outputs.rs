//! Functions on a network's outputs.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;

use super::arrays::{Input, rows};
use crate::boxes::Xyxy;
use crate::detections::Detections;
use crate::{assignment, boxes, nms, ranking};

/// Class ids and scores.
type Best<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);
/// Maximum number of candidates, of candidates per class, and of detections.
pub type Limits = (Option<usize>, Option<usize>, Option<usize>);
/// Boxes, scores and class ids.
pub type Arrays<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<i64>>,
);

/// Return the intersection over union of every pair of boxes.
#[pyfunction]
pub fn box_iou<'py>(
    py: Python<'py>,
    boxes1: &Bound<'py, PyAny>,
    boxes2: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let first = Input::<f32, 2>::new("boxes1", boxes1)?;
    let second = Input::<f32, 2>::new("boxes2", boxes2)?;
    let a: &[Xyxy] = rows("boxes1", first.shape[1], first.values()?)?;
    let b: &[Xyxy] = rows("boxes2", second.shape[1], second.values()?)?;
    let pairs: Vec<f32> = py.detach(|| {
        a.iter()
            .flat_map(|x| b.iter().map(|y| boxes::iou(x, y)))
            .collect()
    });
    pairs.into_pyarray(py).reshape(vec![a.len(), b.len()])
}

/// Return the indices of the boxes that greedy NMS within classes keeps, best first.
#[pyfunction]
#[pyo3(signature = (boxes, scores, class_ids, *, iou_threshold, epsilon, limits))]
pub fn batched_nms<'py>(
    py: Python<'py>,
    boxes: &Bound<'py, PyAny>,
    scores: &Bound<'py, PyAny>,
    class_ids: &Bound<'py, PyAny>,
    iou_threshold: f32,
    epsilon: f32,
    limits: Limits,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let boxes = Input::<f32, 2>::new("boxes", boxes)?;
    let scores = Input::<f32, 1>::new("scores", scores)?;
    let classes = Input::<i64, 1>::new("class_ids", class_ids)?;
    let options = nms_options(iou_threshold, epsilon, limits);
    let (b, s, c) = (
        rows("boxes", boxes.shape[1], boxes.values()?)?,
        scores.values()?,
        classes.values()?,
    );
    let kept = py.detach(|| nms::batched(b, s, c, &options))?;
    Ok(kept
        .into_iter()
        .map(|i| i as i64)
        .collect::<Vec<_>>()
        .into_pyarray(py))
}

/// Return the column of each row of a cost matrix, with the least total cost.
#[pyfunction]
pub fn assign<'py>(
    py: Python<'py>,
    costs: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let costs = Input::<f64, 2>::new("costs", costs)?;
    let ([height, width], values) = (costs.shape, costs.values()?);
    let found = py.detach(|| assignment::solve(values, height, width))?;
    let columns: Vec<i64> = found.into_iter().map(|column| column as i64).collect();
    Ok(columns.into_pyarray(py))
}

/// Return the options of NMS.
pub fn nms_options(iou_threshold: f32, epsilon: f32, limits: Limits) -> nms::Options {
    let (candidates, per_class, detections) = limits;
    nms::Options {
        iou_threshold,
        epsilon,
        max_candidates: candidates.unwrap_or(usize::MAX),
        max_per_class: per_class.unwrap_or(usize::MAX),
        max_detections: detections.unwrap_or(usize::MAX),
    }
}

/// Check a list of maps and return views of them.
pub fn inputs<'py>(
    what: &'static str,
    maps: Vec<Bound<'py, PyAny>>,
) -> PyResult<Vec<Input<'py, f32, 4>>> {
    maps.into_iter().map(|map| Input::new(what, &map)).collect()
}

/// Convert detections to three numpy arrays.
pub fn arrays(py: Python<'_>, found: Detections) -> PyResult<Arrays<'_>> {
    let count = found.boxes.len();
    let boxes = found.boxes.into_flattened().into_pyarray(py);
    Ok((
        boxes.reshape([count, 4])?,
        found.scores.into_pyarray(py),
        found.classes.into_pyarray(py),
    ))
}

/// Return class ids and scores of the `k` best of each row, after softmax if requested.
#[pyfunction]
pub fn top_k<'py>(
    py: Python<'py>,
    values: &Bound<'py, PyAny>,
    k: usize,
    softmax: bool,
) -> PyResult<Vec<Best<'py>>> {
    let values = Input::<f32, 2>::new("values", values)?;
    let dense = values.values()?;
    let best = py.detach(|| {
        let rows = dense.chunks_exact(values.shape[1].max(1));
        rows.map(|row| ranking::best(row, k, softmax))
            .collect::<Vec<_>>()
    });
    Ok(best
        .into_iter()
        .map(|(ids, scores)| (ids.into_pyarray(py), scores.into_pyarray(py)))
        .collect())
}

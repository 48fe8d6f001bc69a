//! Functions on a network's outputs.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;

use super::arrays::{Input, no_zero, rows, same};
use crate::boxes::Xyxy;
use crate::error::Error;
use crate::scan::Activation;
use crate::{boxes, classify, nms, ssd};

/// Class numbers and scores.
type Best<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);
/// Boxes, scores and class numbers.
type Arrays<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<i64>>,
);

/// Intersection over union of every pair of boxes.
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

/// Indices of the boxes that greedy suppression within classes keeps, best first.
#[pyfunction]
#[pyo3(signature = (boxes, scores, class_ids, *, iou_threshold, epsilon, max_per_class, max_detections))]
#[allow(clippy::too_many_arguments)] // one keyword each; the core takes a struct
pub fn batched_nms<'py>(
    py: Python<'py>,
    boxes: &Bound<'py, PyAny>,
    scores: &Bound<'py, PyAny>,
    class_ids: &Bound<'py, PyAny>,
    iou_threshold: f32,
    epsilon: f32,
    max_per_class: Option<usize>,
    max_detections: Option<usize>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let boxes = Input::<f32, 2>::new("boxes", boxes)?;
    let scores = Input::<f32, 1>::new("scores", scores)?;
    let classes = Input::<i64, 1>::new("class_ids", class_ids)?;
    let options = nms_options(iou_threshold, epsilon, max_per_class, max_detections);
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

fn nms_options(
    iou_threshold: f32,
    epsilon: f32,
    max_per_class: Option<usize>,
    max_detections: Option<usize>,
) -> nms::Options {
    let (max_per_class, max_detections) = (
        max_per_class.unwrap_or(usize::MAX),
        max_detections.unwrap_or(usize::MAX),
    );
    nms::Options {
        iou_threshold,
        epsilon,
        max_per_class,
        max_detections,
    }
}

/// Detections of every image of a batch of raw SSD maps.
#[pyfunction]
#[pyo3(signature = (class_maps, box_maps, anchors, *, activation, score_threshold, iou_threshold,
    epsilon, max_per_class, max_detections))]
#[allow(clippy::too_many_arguments)] // one keyword each; the core takes a struct
pub fn decode_ssd<'py>(
    py: Python<'py>,
    class_maps: Vec<Bound<'py, PyAny>>,
    box_maps: Vec<Bound<'py, PyAny>>,
    anchors: &Bound<'py, PyAny>,
    activation: &str,
    score_threshold: f32,
    iou_threshold: f32,
    epsilon: f32,
    max_per_class: Option<usize>,
    max_detections: Option<usize>,
) -> PyResult<Vec<Arrays<'py>>> {
    same("count of box_maps", &class_maps.len(), &box_maps.len())?;
    let class_maps = inputs("class_maps", class_maps)?;
    let box_maps = inputs("box_maps", box_maps)?;
    let anchors = Input::<f32, 2>::new("anchors", anchors)?;
    let (maps, images, classes) = ssd_maps(&class_maps, &box_maps)?;
    let options = ssd::Options {
        activation: Activation::parse(activation)?,
        classes,
        score_threshold,
        nms: nms_options(iou_threshold, epsilon, max_per_class, max_detections),
    };
    let anchors = rows("anchors", anchors.shape[1], anchors.values()?)?;
    let found = py.detach(|| ssd::decode(&maps, images, anchors, &options))?;
    found.into_iter().map(|image| arrays(py, image)).collect()
}

fn inputs<'py>(
    what: &'static str,
    maps: Vec<Bound<'py, PyAny>>,
) -> PyResult<Vec<Input<'py, f32, 4>>> {
    maps.into_iter().map(|map| Input::new(what, &map)).collect()
}

/// The maps as the core takes them, the batch size and the number of classes.
fn ssd_maps<'a>(
    class_maps: &'a [Input<'_, f32, 4>],
    box_maps: &'a [Input<'_, f32, 4>],
) -> Result<(Vec<ssd::Map<'a>>, usize, usize), Error> {
    let mut maps = Vec::with_capacity(class_maps.len());
    let (mut images, mut classes) = (0, 0);
    for (of_classes, of_boxes) in class_maps.iter().zip(box_maps) {
        let ([n, channels, h, w], [boxes_n, boxes_c, boxes_h, boxes_w]) =
            (of_classes.shape, of_boxes.shape);
        same("box_maps", &(n, h, w), &(boxes_n, boxes_h, boxes_w))?;
        let anchors = boxes_c / 4;
        if maps.is_empty() {
            (images, classes) = (n, channels / anchors.max(1));
        }
        same(
            "maps",
            &(images, anchors * classes, anchors * 4),
            &(n, channels, boxes_c),
        )?;
        no_zero("maps", &[anchors, h, w])?;
        let (classes, boxes) = (of_classes.values()?, of_boxes.values()?);
        maps.push(ssd::Map {
            classes,
            boxes,
            anchors,
            cells: h * w,
        });
    }
    Ok((maps, images, classes))
}

fn arrays(py: Python<'_>, found: ssd::Detections) -> PyResult<Arrays<'_>> {
    let count = found.boxes.len();
    let boxes = found
        .boxes
        .into_flattened()
        .into_pyarray(py)
        .reshape([count, 4])?;
    Ok((
        boxes,
        found.scores.into_pyarray(py),
        found.classes.into_pyarray(py),
    ))
}

/// Indices and values of the `k` best of each row, of which softmax is taken first if wanted.
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
        rows.map(|row| classify::best(row, k, softmax))
            .collect::<Vec<_>>()
    });
    Ok(best
        .into_iter()
        .map(|(ids, scores)| (ids.into_pyarray(py), scores.into_pyarray(py)))
        .collect())
}

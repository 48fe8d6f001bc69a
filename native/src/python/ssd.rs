//! Binding of the SSD decoder.

use pyo3::prelude::*;

use super::arrays::{Input, check_equal, check_not_empty, rows};
use super::outputs::{Arrays, Limits, arrays, inputs, nms_options};
use crate::candidates::Activation;
use crate::error::Error;
use crate::ssd;

/// Return the detections of every image of a batch of raw SSD maps.
#[pyfunction]
#[pyo3(signature = (class_maps, box_maps, anchors, *, activation, class_major, xy_first,
    least_score, iou_threshold, epsilon, limits))]
#[allow(clippy::too_many_arguments)] // one keyword each; the core takes a struct
pub fn decode_ssd<'py>(
    py: Python<'py>,
    class_maps: Vec<Bound<'py, PyAny>>,
    box_maps: Vec<Bound<'py, PyAny>>,
    anchors: &Bound<'py, PyAny>,
    activation: &str,
    class_major: bool,
    xy_first: bool,
    least_score: f32,
    iou_threshold: f32,
    epsilon: f32,
    limits: Limits,
) -> PyResult<Vec<Arrays<'py>>> {
    check_equal("number of box_maps", &class_maps.len(), &box_maps.len())?;
    let class_maps = inputs("class_maps", class_maps)?;
    let box_maps = inputs("box_maps", box_maps)?;
    let anchors = Input::<f32, 2>::new("anchors", anchors)?;
    let (maps, images, classes) = ssd_maps(&class_maps, &box_maps, class_major)?;
    let options = ssd::Options {
        activation: Activation::parse(activation)?,
        classes,
        order: if xy_first {
            ssd::Order::XYWH
        } else {
            ssd::Order::YXHW
        },
        score_threshold: least_score,
        nms: nms_options(iou_threshold, epsilon, limits),
    };
    let anchors = rows("anchors", anchors.shape[1], anchors.values()?)?;
    let found = py.detach(|| ssd::decode(&maps, images, anchors, &options))?;
    found.into_iter().map(|image| arrays(py, image)).collect()
}

/// Return the maps for the core, the batch size and the number of classes.
fn ssd_maps<'a>(
    class_maps: &'a [Input<'_, f32, 4>],
    box_maps: &'a [Input<'_, f32, 4>],
    class_major: bool,
) -> Result<(Vec<ssd::Map<'a>>, usize, usize), Error> {
    let mut maps = Vec::with_capacity(class_maps.len());
    let (mut images, mut classes) = (0, 0);
    for (of_classes, of_boxes) in class_maps.iter().zip(box_maps) {
        let ([n, channels, h, w], [boxes_n, boxes_c, boxes_h, boxes_w]) =
            (of_classes.shape, of_boxes.shape);
        check_equal(
            "(n, height, width) of box_maps",
            &(n, h, w),
            &(boxes_n, boxes_h, boxes_w),
        )?;
        let anchors = boxes_c / 4;
        if maps.is_empty() {
            (images, classes) = (n, channels / anchors.max(1));
        }
        check_equal(
            "(n, class channels, box channels) of maps",
            &(images, anchors * classes, anchors * 4),
            &(n, channels, boxes_c),
        )?;
        check_not_empty("maps", &[anchors, h, w])?;
        let (anchors, cells) = if class_major {
            (1, anchors * h * w)
        } else {
            (anchors, h * w)
        };
        let (classes, boxes) = (of_classes.values()?, of_boxes.values()?);
        maps.push(ssd::Map {
            classes,
            boxes,
            anchors,
            cells,
        });
    }
    Ok((maps, images, classes))
}

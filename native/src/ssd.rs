//! Detections of an SSD head, read straight off its raw NCHW maps.
//!
//! Scores are compared before they are computed: a linear scan for logits above the threshold's
//! logit finds the candidates, and only these are decoded.

use crate::boxes::{Xyxy, is_finite};
use crate::error::Error;
use crate::nms;
use crate::scan::{Activation, Scores, find, scan_bound};

/// Scale of the centre and of the logarithm of the size in box deltas: variances 10 and 5.
const CENTER_SCALE: f32 = 0.1;
const SIZE_SCALE: f32 = 0.2;

/// One feature map of a batch: `(n, anchors * classes, h, w)` and `(n, anchors * 4, h, w)`.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    pub classes: &'a [f32],
    pub boxes: &'a [f32],
    /// Anchors per cell.
    pub anchors: usize,
    /// `h * w`.
    pub cells: usize,
}

/// What to detect.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub activation: Activation,
    /// Number of classes, the background (class 0) included.
    pub classes: usize,
    pub score_threshold: f32,
    pub nms: nms::Options,
}

/// What was detected in one image, best first.
#[derive(Debug, Clone, Default)]
pub struct Detections {
    pub boxes: Vec<Xyxy>,
    pub scores: Vec<f32>,
    pub classes: Vec<i64>,
}

/// Detections of every image of the batch.
///
/// `anchors` are centre x, centre y, width and height, ordered by map, cell and anchor in the cell.
pub fn decode(
    maps: &[Map],
    images: usize,
    anchors: &[[f32; 4]],
    options: &Options,
) -> Result<Vec<Detections>, Error> {
    check(maps, images, anchors.len(), options.classes)?;
    (0..images)
        .map(|image| decode_image(maps, image, anchors, options))
        .collect()
}

fn check(maps: &[Map], images: usize, anchors: usize, classes: usize) -> Result<(), Error> {
    let total: usize = maps.iter().map(|map| map.anchors * map.cells).sum();
    if total != anchors {
        return Err(Error::shape(
            "anchors",
            total.to_string(),
            anchors.to_string(),
        ));
    }
    for map in maps {
        let values = images * map.anchors * map.cells;
        let (got, expected) = (
            (map.classes.len(), map.boxes.len()),
            (values * classes, values * 4),
        );
        if got != expected || classes == 0 {
            return Err(Error::shape(
                "maps",
                format!("{expected:?} values"),
                format!("{got:?}"),
            ));
        }
    }
    Ok(())
}

fn decode_image(
    maps: &[Map],
    image: usize,
    anchors: &[[f32; 4]],
    options: &Options,
) -> Result<Detections, Error> {
    let mut found = Detections::default();
    let mut rest = anchors;
    let bound = scan_bound(options.activation, options.score_threshold);
    let mut hits = Vec::new();
    for map in maps {
        let (own, others) = rest.split_at(map.anchors * map.cells);
        rest = others;
        for anchor in 0..map.anchors {
            let at = image * map.anchors + anchor;
            let block =
                &map.classes[at * options.classes * map.cells..][..options.classes * map.cells];
            let deltas = &map.boxes[at * 4 * map.cells..][..4 * map.cells];
            find(block, map.cells, bound, options.activation, &mut hits);
            let scores = Scores::new(block, map.cells, options.activation, &hits);
            for &hit in &hits {
                let (class, cell) = (hit / map.cells, hit % map.cells);
                let score = scores.get(class + 1, cell);
                if !(score >= options.score_threshold && score.is_finite()) {
                    continue;
                }
                let placed = place(deltas, map.cells, cell, &own[cell * map.anchors + anchor]);
                if is_finite(&placed) {
                    found.boxes.push(placed);
                    found.scores.push(score);
                    found.classes.push(class as i64 + 1);
                }
            }
        }
    }
    let kept = nms::batched(&found.boxes, &found.scores, &found.classes, &options.nms)?;
    Ok(Detections {
        boxes: kept.iter().map(|&i| found.boxes[i]).collect(),
        scores: kept.iter().map(|&i| found.scores[i]).collect(),
        classes: kept.iter().map(|&i| found.classes[i]).collect(),
    })
}

/// The box that the deltas (y, x, height, width) of a cell make of its anchor.
fn place(deltas: &[f32], cells: usize, cell: usize, anchor: &[f32; 4]) -> Xyxy {
    let delta = |i: usize| deltas[i * cells + cell];
    let [x, y, width, height] = *anchor;
    let grown = |delta: f32| f64::from(delta * SIZE_SCALE).exp() as f32;
    let center = (
        x + delta(1) * CENTER_SCALE * width,
        y + delta(0) * CENTER_SCALE * height,
    );
    let half = (
        grown(delta(3)) * width * 0.5,
        grown(delta(2)) * height * 0.5,
    );
    [
        center.0 - half.0,
        center.1 - half.1,
        center.0 + half.0,
        center.1 + half.1,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(activation: Activation, classes: usize, score_threshold: f32) -> Options {
        let nms = nms::Options {
            iou_threshold: 1.0,
            epsilon: 0.0,
            max_per_class: usize::MAX,
            max_detections: usize::MAX,
        };
        Options {
            activation,
            classes,
            score_threshold,
            nms,
        }
    }

    fn probability(activation: Activation, column: &[f32], class: usize) -> f32 {
        let power = |x: f32| f64::from(x).exp();
        match activation {
            Activation::None => column[class],
            Activation::Sigmoid => (1.0 / (1.0 + 1.0 / power(column[class]))) as f32,
            Activation::Softmax => {
                let total: f64 = column.iter().map(|&x| power(x)).sum();
                (power(column[class]) / total) as f32
            }
        }
    }

    proptest! {
        #[test]
        fn the_scan_loses_nothing(
            logits in prop::collection::vec(-8.0f32..8.0, 2 * 5 * 7),
            threshold in 0.0f32..1.0,
        ) {
            let (anchors, classes, cells) = (2, 5, 7);
            let boxes = vec![0.0; anchors * 4 * cells];
            let map = Map { classes: &logits, boxes: &boxes, anchors, cells };
            for activation in [Activation::Sigmoid, Activation::Softmax, Activation::None] {
                let wanted = (0..anchors * cells).flat_map(|i| (1..classes).map(move |c| (i, c)));
                let wanted = wanted.filter(|&(i, c)| {
                    let (anchor, cell) = (i / cells, i % cells);
                    let column: Vec<f32> =
                        (0..classes).map(|c| logits[(anchor * classes + c) * cells + cell]).collect();
                    probability(activation, &column, c) >= threshold
                });
                let options = options(activation, classes, threshold);
                let got = decode(&[map], 1, &[[0.5; 4]; 14], &options).unwrap();
                prop_assert!(got[0].scores.len().abs_diff(wanted.count()) <= 1);
            }
        }

        #[test]
        fn any_bits_are_survived(bits in prop::collection::vec(any::<u32>(), 3 * 4 + 4 * 4), t in 0.0f32..1.0) {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let (classes, boxes) = values.split_at(12);
            let map = Map { classes, boxes, anchors: 1, cells: 4 };
            for activation in [Activation::Sigmoid, Activation::Softmax, Activation::None] {
                let got = decode(&[map], 1, &[[0.5; 4]; 4], &options(activation, 3, t)).unwrap();
                prop_assert!(got[0].boxes.iter().all(is_finite));
                prop_assert!(got[0].scores.iter().all(|&score| score >= t));
            }
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let map = Map {
            classes: &[0.0; 5],
            boxes: &[0.0; 4],
            anchors: 1,
            cells: 1,
        };
        let options = options(Activation::Sigmoid, 3, 0.5);
        assert!(decode(&[map], 1, &[[0.5; 4]], &options).is_err());
        assert!(decode(&[], 1, &[[0.5; 4]], &options).is_err());
    }
}

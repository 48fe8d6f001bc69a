//! Decoder of SSD heads, which reads the raw NCHW maps.
//!
//! A linear scan finds the logits that may reach the score threshold, and only these candidates are
//! decoded.

use crate::boxes::Xyxy;
use crate::candidates::{Activation, Scores, find, scan_bound};
use crate::detections::Detections;
use crate::error::{Error, product};
use crate::nms;
use crate::parallel;

/// Scales of the center and of the logarithmic size in box deltas (variances 10 and 5).
const CENTER_SCALE: f32 = 0.1;
const SIZE_SCALE: f32 = 0.2;

/// One feature map of a batch: `(n, anchors, classes, cells)` and `(n, anchors, 4, cells)`.
///
/// A map in class-major order is treated as one with a single anchor in `anchors * h * w` cells.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    pub classes: &'a [f32],
    pub boxes: &'a [f32],
    /// Number of anchors per cell.
    pub anchors: usize,
    /// `h * w`.
    pub cells: usize,
}

/// Indices of center x, center y, width and height among the box deltas.
#[derive(Debug, Clone, Copy)]
pub struct Order(pub [usize; 4]);

impl Order {
    pub const XYWH: Self = Self([0, 1, 2, 3]);
    pub const YXHW: Self = Self([1, 0, 3, 2]);
}

/// Options of the decoder.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub activation: Activation,
    /// Number of classes, including the background (class 0).
    pub classes: usize,
    pub order: Order,
    /// Minimum score of a detection.
    pub score_threshold: f32,
    pub nms: nms::Options,
}

/// Return the detections of every image of the batch.
///
/// `anchors` are in cxcywh format, ordered by map, cell and anchor of the cell.
pub fn decode(
    maps: &[Map],
    images: usize,
    anchors: &[[f32; 4]],
    options: &Options,
) -> Result<Vec<Detections>, Error> {
    check(maps, images, anchors.len(), options.classes)?;
    let work = maps.iter().map(|map| map.classes.len()).sum();
    let decoded = parallel::map(images, work, |i| decode_image(maps, i, anchors, options));
    decoded.into_iter().collect()
}

fn check(maps: &[Map], images: usize, anchors: usize, classes: usize) -> Result<(), Error> {
    let total = maps.iter().try_fold(0_usize, |total, map| {
        total.checked_add(product([map.anchors, map.cells])?)
    });
    if total != Some(anchors) {
        let expected = total.map_or_else(|| "fewer".to_string(), |total| total.to_string());
        let expected = format!("{expected} anchors, as many as the maps have");
        return Err(Error::shape("anchors", expected, anchors.to_string()));
    }
    for map in maps {
        let values = |each: usize| product([images, map.anchors, map.cells, each]);
        let got = (map.classes.len(), map.boxes.len());
        if (values(classes), values(4)) != (Some(got.0), Some(got.1))
            || classes == 0
            || map.cells == 0
        {
            let size = (images, map.anchors, classes, map.cells);
            let expected = format!(
                "(images, anchors, classes, cells) {size:?}, and 4 instead of classes for boxes"
            );
            let got = format!("{} class values and {} box values", got.0, got.1);
            return Err(Error::shape("maps", expected, got));
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
                let anchor = &own[cell * map.anchors + anchor];
                let placed = place(deltas, options.order, map.cells, cell, anchor);
                found.push(placed, score, class + 1);
            }
        }
    }
    Ok(found.suppress(&options.nms)?.0)
}

/// Return the box from the deltas of a cell and its anchor.
fn place(deltas: &[f32], order: Order, cells: usize, cell: usize, anchor: &[f32; 4]) -> Xyxy {
    let [dx, dy, dw, dh] = order.0.map(|i| deltas[i * cells + cell]);
    let [x, y, width, height] = *anchor;
    let grown = |delta: f32| f64::from(delta * SIZE_SCALE).exp() as f32;
    let center = (
        x + dx * CENTER_SCALE * width,
        y + dy * CENTER_SCALE * height,
    );
    let half = (grown(dw) * width * 0.5, grown(dh) * height * 0.5);
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
    use crate::boxes::is_finite;
    use proptest::prelude::*;

    fn options(activation: Activation, classes: usize, score_threshold: f32) -> Options {
        Options {
            activation,
            classes,
            order: Order::YXHW,
            score_threshold,
            nms: nms::Options::unlimited(1.0),
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
                let expected = (0..anchors * cells).flat_map(|i| (1..classes).map(move |c| (i, c)));
                let expected = expected.filter(|&(i, c)| {
                    let (anchor, cell) = (i / cells, i % cells);
                    let column: Vec<f32> =
                        (0..classes).map(|c| logits[(anchor * classes + c) * cells + cell]).collect();
                    probability(activation, &column, c) >= threshold
                });
                let options = options(activation, classes, threshold);
                let got = decode(&[map], 1, &[[0.5; 4]; 14], &options).unwrap();
                prop_assert!(got[0].scores.len().abs_diff(expected.count()) <= 1);
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
        for cells in [0, 2, usize::MAX] {
            let map = Map {
                classes: &[],
                boxes: &[],
                anchors: 2,
                cells,
            };
            assert!(decode(&[map], 1, &[], &options).is_err());
            assert!(decode(&[map, map], usize::MAX, &[], &options).is_err());
        }
    }
}

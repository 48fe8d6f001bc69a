//! Greedy non-maximum suppression (NMS) within classes.

use crate::boxes::{Xyxy, area, is_finite};
use crate::error::Error;

/// Options of suppression.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Maximum `IoU` of a box with a better kept box of its class.
    pub iou_threshold: f32,
    /// Added to the union, so that tiny boxes overlap less.
    pub epsilon: f32,
    /// Maximum number of boxes before suppression.
    pub max_candidates: usize,
    /// Maximum number of boxes per class before suppression.
    pub max_per_class: usize,
    /// Maximum number of boxes to keep.
    pub max_detections: usize,
}

#[cfg(test)]
impl Options {
    pub fn unlimited(iou_threshold: f32) -> Self {
        Self {
            iou_threshold,
            epsilon: 0.0,
            max_candidates: usize::MAX,
            max_per_class: usize::MAX,
            max_detections: usize::MAX,
        }
    }
}

/// Return the indices of the boxes to keep, best first; equal scores keep their order.
///
/// Boxes with a non-finite coordinate or a NaN score are dropped.
pub fn batched(
    boxes: &[Xyxy],
    scores: &[f32],
    classes: &[i64],
    options: &Options,
) -> Result<Vec<usize>, Error> {
    let count = boxes.len();
    if scores.len() != count || classes.len() != count || u32::try_from(count).is_err() {
        let got = format!("{} scores and {} classes", scores.len(), classes.len());
        return Err(Error::shape(
            "nms",
            format!("{count} scores and classes, one per box (at most 2^32 boxes)"),
            got,
        ));
    }
    let mut ranked: Vec<(i64, u64)> = (0..count)
        .filter(|&i| is_finite(&boxes[i]) && !scores[i].is_nan())
        .map(|i| (classes[i], rank(scores[i], i)))
        .collect();
    if options.max_candidates < ranked.len() {
        ranked.select_nth_unstable_by_key(options.max_candidates, |&(_, rank)| rank);
        ranked.truncate(options.max_candidates);
    }
    ranked.sort_unstable();
    let mut kept = Vec::with_capacity(ranked.len());
    let mut survivors = Survivors::default();
    for class in ranked.chunk_by(|a, b| a.0 == b.0) {
        survivors.clear();
        for &(_, rank) in class.iter().take(options.max_per_class) {
            if survivors.len() == options.max_detections {
                break; // later boxes of the class rank lower
            }
            if survivors.admit(&boxes[index(rank)], options) {
                kept.push(rank);
            }
        }
    }
    kept.sort_unstable();
    kept.truncate(options.max_detections);
    Ok(kept.into_iter().map(index).collect())
}

/// Return a sort key: ascending by descending score, then by ascending index.
fn rank(score: f32, index: usize) -> u64 {
    let bits = (score + 0.0).to_bits(); // -0.0 + 0.0 is 0.0: the two zeros tie
    let ascending = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    u64::from(!ascending) << 32 | index as u64
}

fn index(rank: u64) -> usize {
    rank as u32 as usize
}

/// Return the smaller number. Inputs are never NaN, so this compiles to one instruction.
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Kept boxes of one class, one column per coordinate so that the comparison vectorizes.
#[derive(Default)]
struct Survivors {
    left: Vec<f32>,
    top: Vec<f32>,
    right: Vec<f32>,
    bottom: Vec<f32>,
    area: Vec<f32>,
}

impl Survivors {
    fn columns(&mut self) -> [&mut Vec<f32>; 5] {
        let Self {
            left,
            top,
            right,
            bottom,
            area,
        } = self;
        [left, top, right, bottom, area]
    }

    fn clear(&mut self) {
        self.columns().into_iter().for_each(Vec::clear);
    }

    fn len(&self) -> usize {
        self.area.len()
    }

    /// Keep `candidate` unless it overlaps a kept box too much; return whether it was kept.
    fn admit(&mut self, candidate: &Xyxy, options: &Options) -> bool {
        let own = area(candidate);
        if self.overlaps(candidate, own, options) {
            return false;
        }
        let [left, top, right, bottom] = *candidate;
        for (column, value) in self
            .columns()
            .into_iter()
            .zip([left, top, right, bottom, own])
        {
            column.push(value);
        }
        true
    }

    fn overlaps(&self, b: &Xyxy, own: f32, options: &Options) -> bool {
        const BLOCK: usize = 16;
        let count = self.len();
        (0..count).step_by(BLOCK).any(|from| {
            let block = from..count.min(from + BLOCK);
            let (left, top) = (&self.left[block.clone()], &self.top[block.clone()]);
            let (right, bottom) = (&self.right[block.clone()], &self.bottom[block.clone()]);
            let area = &self.area[block];
            let mut hit = false;
            for i in 0..area.len() {
                let width = max(min(right[i], b[2]) - max(left[i], b[0]), 0.0);
                let height = max(min(bottom[i], b[3]) - max(top[i], b[1]), 0.0);
                let shared = width * height;
                let union = area[i] + own - shared + options.epsilon;
                hit |= shared / union > options.iou_threshold;
            }
            hit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::iou;
    use proptest::prelude::*;

    fn textbook(boxes: &[Xyxy], scores: &[f32], classes: &[i64], threshold: f32) -> Vec<usize> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut kept: Vec<usize> = Vec::new();
        for i in order {
            let clash =
                |&k: &usize| classes[k] == classes[i] && iou(&boxes[k], &boxes[i]) > threshold;
            if !kept.iter().any(clash) {
                kept.push(i);
            }
        }
        kept
    }

    proptest! {
        #[test]
        fn equals_the_textbook(
            items in prop::collection::vec(((0u8..40, 0u8..40, 1u8..20, 1u8..20), 0u8..9, 0i64..3), 0..80),
            threshold in 0.0f32..1.0,
        ) {
            let boxes: Vec<Xyxy> = items.iter().map(|&((x, y, w, h), ..)| {
                [x, y, x + w, y + h].map(f32::from)
            }).collect();
            let scores: Vec<f32> = items.iter().map(|item| f32::from(item.1)).collect();
            let classes: Vec<i64> = items.iter().map(|item| item.2).collect();
            let got = batched(&boxes, &scores, &classes, &Options::unlimited(threshold)).unwrap();
            prop_assert_eq!(got, textbook(&boxes, &scores, &classes, threshold));
        }

        #[test]
        fn any_bits_are_survived(bits in prop::collection::vec(any::<[u32; 5]>(), 0..40)) {
            let boxes: Vec<Xyxy> = bits.iter().map(|b| [b[0], b[1], b[2], b[3]].map(f32::from_bits)).collect();
            let scores: Vec<f32> = bits.iter().map(|b| f32::from_bits(b[4])).collect();
            let kept = batched(&boxes, &scores, &vec![0; bits.len()], &Options::unlimited(0.5)).unwrap();
            for pair in kept.windows(2) {
                prop_assert!(scores[pair[0]] >= scores[pair[1]]);
            }
        }
    }
}

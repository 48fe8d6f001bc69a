//! What decoders collect and keep.

use crate::boxes::{Xyxy, is_finite};
use crate::error::Error;
use crate::nms;

/// What was detected in one image: candidates while a decoder runs, then the best first.
#[derive(Debug, Clone, Default)]
pub struct Detections {
    pub boxes: Vec<Xyxy>,
    pub scores: Vec<f32>,
    pub classes: Vec<i64>,
}

impl Detections {
    /// Add a candidate, unless its box is not finite; returns whether it was added.
    pub fn push(&mut self, xyxy: Xyxy, score: f32, class: usize) -> bool {
        let finite = is_finite(&xyxy);
        if finite {
            self.boxes.push(xyxy);
            self.scores.push(score);
            self.classes.push(class as i64);
        }
        finite
    }

    /// What suppression leaves, and the place of each among the candidates.
    pub fn suppress(&self, options: &nms::Options) -> Result<(Self, Vec<usize>), Error> {
        let kept = nms::batched(&self.boxes, &self.scores, &self.classes, options)?;
        let best = Self {
            boxes: kept.iter().map(|&i| self.boxes[i]).collect(),
            scores: kept.iter().map(|&i| self.scores[i]).collect(),
            classes: kept.iter().map(|&i| self.classes[i]).collect(),
        };
        Ok((best, kept))
    }
}

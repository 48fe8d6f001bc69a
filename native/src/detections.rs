//! Detections of a decoder, before and after suppression.

use crate::boxes::{Xyxy, is_finite};
use crate::error::Error;
use crate::nms;

/// Detections of one image: candidates in any order, or the result of `suppress`, best first.
#[derive(Debug, Clone, Default)]
pub struct Detections {
    pub boxes: Vec<Xyxy>,
    pub scores: Vec<f32>,
    pub classes: Vec<i64>,
}

impl Detections {
    /// Add a candidate if its box is finite; return whether it was added.
    pub fn push(&mut self, xyxy: Xyxy, score: f32, class: usize) -> bool {
        let finite = is_finite(&xyxy);
        if finite {
            self.boxes.push(xyxy);
            self.scores.push(score);
            self.classes.push(class as i64);
        }
        finite
    }

    /// Return the detections that suppression keeps, and their indices among the candidates.
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

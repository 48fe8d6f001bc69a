//! Candidates of a decoder: which logits may pass the score threshold, and their scores.

use crate::cpu::multiversion;
use crate::error::Error;

/// Relative amount by which the scan's threshold is lower. Exact scores are compared afterward.
const SLACK: f64 = 1.0 / 65536.0;

/// Function that converts logits to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Sigmoid,
    Softmax,
    None,
}

impl Activation {
    /// Return the activation with this name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "sigmoid" => Ok(Self::Sigmoid),
            "softmax" => Ok(Self::Softmax),
            "none" => Ok(Self::None),
            _ => Err(Error::value(
                "activation must be sigmoid, softmax or none",
                name,
            )),
        }
    }
}

/// Return the minimum logit (softmax: margin over the background) that may reach a threshold.
pub fn scan_bound(activation: Activation, threshold: f32) -> f32 {
    if activation == Activation::None {
        return threshold;
    }
    prefilter_logit(f64::from(threshold))
}

/// Return a slightly lower probability.
pub fn prefilter_score(probability: f64) -> f64 {
    probability * (1.0 - SLACK)
}

/// Return the logit of a slightly lower probability; -inf if it is not positive.
pub fn prefilter_logit(probability: f64) -> f32 {
    let prefilter_score = prefilter_score(probability);
    if prefilter_score <= 0.0 {
        return f32::NEG_INFINITY;
    }
    (prefilter_score / (1.0 - prefilter_score)).ln() as f32
}

/// Return the logistic function, computed in 64-bit floats and rounded once.
pub fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

/// Write the positions of the candidates of one anchor, counted from the first foreground class.
pub fn find(
    block: &[f32],
    cells: usize,
    bound: f32,
    activation: Activation,
    hits: &mut Vec<usize>,
) {
    hits.clear();
    let (background, foreground) = block.split_at(cells);
    if activation == Activation::Softmax {
        for (class, row) in foreground.chunks_exact(cells).enumerate() {
            scan_margin(row, background, bound, class * cells, hits);
        }
    } else {
        scan(foreground, bound, hits);
    }
}

/// Write the positions of the values that are at least `bound`.
pub fn above(values: &[f32], bound: f32, hits: &mut Vec<usize>) {
    hits.clear();
    scan(values, bound, hits);
}

const CHUNK: usize = 64;

multiversion! {
    fn scan(values: &[f32], bound: f32, hits: &mut Vec<usize>) {
        for (at, chunk) in (0..).step_by(CHUNK).zip(values.chunks(CHUNK)) {
            if chunk.iter().fold(0, |any, &value| any | u32::from(value >= bound)) != 0 {
                hits.extend((at..).zip(chunk).filter(|&(_, &value)| value >= bound).map(|(i, _)| i));
            }
        }
    }
}

multiversion! {
    fn scan_margin(row: &[f32], floor: &[f32], bound: f32, base: usize, hits: &mut Vec<usize>) {
        let chunks = row.chunks(CHUNK).zip(floor.chunks(CHUNK));
        for (at, (chunk, floor)) in (base..).step_by(CHUNK).zip(chunks) {
            let margins = || chunk.iter().zip(floor).map(|(value, floor)| value - floor);
            if margins().fold(0, |any, margin| any | u32::from(margin >= bound)) != 0 {
                hits.extend((at..).zip(margins()).filter(|&(_, margin)| margin >= bound).map(|(i, _)| i));
            }
        }
    }
}

/// Scores of one anchor's candidates, computed in 64-bit floats and rounded once, as in numpy.
pub struct Scores<'a> {
    block: &'a [f32],
    cells: usize,
    activation: Activation,
    /// For softmax, in order of cells with candidates: cell, maximum logit, sum of exponentials.
    columns: Vec<(usize, f64, f64)>,
}

impl<'a> Scores<'a> {
    /// Prepare the scores of the candidates at `hits`.
    pub fn new(block: &'a [f32], cells: usize, activation: Activation, hits: &[usize]) -> Self {
        let mut columns = Vec::new();
        if activation == Activation::Softmax {
            let mut used: Vec<usize> = hits.iter().map(|hit| hit % cells).collect();
            used.sort_unstable();
            used.dedup();
            columns.extend(used.into_iter().map(|cell| (cell, f64::NEG_INFINITY, 0.0)));
            // row by row, in memory order
            for row in block.chunks_exact(cells) {
                for (cell, top, _) in &mut columns {
                    *top = top.max(f64::from(row[*cell]));
                }
            }
            for row in block.chunks_exact(cells) {
                for (cell, top, total) in &mut columns {
                    *total += (f64::from(row[*cell]) - *top).exp();
                }
            }
        }
        Self {
            block,
            cells,
            activation,
            columns,
        }
    }

    /// Return the score of a class at a cell; class 0 is the background.
    pub fn get(&self, class: usize, cell: usize) -> f32 {
        let value = self.block[class * self.cells + cell];
        match self.activation {
            Activation::None => value,
            Activation::Sigmoid => sigmoid(value),
            Activation::Softmax => {
                let found = self.columns.binary_search_by_key(&cell, |column| column.0);
                found.map_or(f32::NAN, |i| {
                    let (_, top, total) = self.columns[i];
                    ((f64::from(value) - top).exp() / total) as f32
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_is_not_positive_lets_every_score_through() {
        for threshold in [-1.0, -1e-9, 0.0] {
            for activation in [Activation::Sigmoid, Activation::Softmax] {
                let bound = scan_bound(activation, threshold);
                assert!(f32::MIN >= bound, "{threshold}: {bound}");
            }
            assert!(scan_bound(Activation::None, threshold) <= threshold);
        }
        assert!(scan_bound(Activation::Sigmoid, 0.5) <= 0.0);
    }
}

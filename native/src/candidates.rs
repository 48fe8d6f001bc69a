//! Which logits may become a detection, and what score they get.

use crate::cpu::multiversion;
use crate::error::Error;

/// The scan lets through scores this much (relatively) below the threshold; the exact test follows.
const SLACK: f64 = 1.0 / 65536.0;

/// What makes a score of a logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Sigmoid,
    Softmax,
    None,
}

impl Activation {
    /// The activation of that name.
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

/// The least logit (softmax: margin over the background) that may reach the score threshold.
pub fn scan_bound(activation: Activation, threshold: f32) -> f32 {
    if activation == Activation::None {
        return threshold;
    }
    prefilter_logit(f64::from(threshold))
}

/// A little less than a probability.
pub fn prefilter_score(probability: f64) -> f64 {
    probability * (1.0 - SLACK)
}

/// The logit of a little less than a probability; below every logit where it is not positive.
pub fn prefilter_logit(probability: f64) -> f32 {
    let prefilter_score = prefilter_score(probability);
    if prefilter_score <= 0.0 {
        return f32::NEG_INFINITY;
    }
    (prefilter_score / (1.0 - prefilter_score)).ln() as f32
}

/// The logistic function, taken in 64-bit floats and rounded once.
pub fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

/// Positions, counted from the first foreground class, of the candidates of one anchor.
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

/// Positions of the values of at least `bound`.
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

/// Scores of one anchor's candidates. Taken in 64-bit floats and rounded once, so that every
/// implementation that does the same gets the same bits.
pub struct Scores<'a> {
    block: &'a [f32],
    cells: usize,
    activation: Activation,
    /// Of each cell that has a candidate, in order: its greatest logit and the sum of powers.
    columns: Vec<(usize, f64, f64)>,
}

impl<'a> Scores<'a> {
    /// Prepare for the candidates at `hits`.
    pub fn new(block: &'a [f32], cells: usize, activation: Activation, hits: &[usize]) -> Self {
        let mut columns = Vec::new();
        if activation == Activation::Softmax {
            let mut used: Vec<usize> = hits.iter().map(|hit| hit % cells).collect();
            used.sort_unstable();
            used.dedup();
            columns.extend(used.into_iter().map(|cell| (cell, f64::NEG_INFINITY, 0.0)));
            // row by row, as they lie in memory
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

    /// The score of a class, the background being class 0, at a cell.
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

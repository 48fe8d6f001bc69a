//! The best classes of a vector of logits or scores (top-k).

/// Return classes and scores of the `k` best values. Ties keep their order; NaN comes last.
pub fn best(values: &[f32], k: usize, softmax: bool) -> (Vec<i64>, Vec<f32>) {
    let better = |&a: &usize, &b: &usize| {
        let (x, y) = (values[a], values[b]);
        let by_value = y
            .partial_cmp(&x)
            .unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()));
        by_value.then(a.cmp(&b))
    };
    let mut order: Vec<usize> = (0..values.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, better);
        order.truncate(k);
    }
    order.sort_unstable_by(better);
    let scale = softmax.then(|| Softmax::new(values));
    let score = |&i: &usize| {
        scale
            .as_ref()
            .map_or(values[i], |scale| scale.get(values[i]))
    };
    let scores = order.iter().map(score).collect();
    (order.into_iter().map(|i| i as i64).collect(), scores)
}

/// Softmax of a row of logits, in 64-bit floats.
///
/// A NaN stays NaN and does not affect other classes; infinite logits share the probability.
struct Softmax {
    top: f32,
    total: f64,
}

impl Softmax {
    fn new(logits: &[f32]) -> Self {
        let top = logits.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
        let numbers = logits.iter().filter(|x| !x.is_nan());
        let total = numbers.map(|&x| Self::power(x, top)).sum();
        Self { top, total }
    }

    fn power(logit: f32, top: f32) -> f64 {
        if logit.to_bits() == top.to_bits() {
            1.0 // also if both are infinite
        } else {
            (f64::from(logit) - f64::from(top)).exp()
        }
    }

    fn get(&self, logit: f32) -> f32 {
        (Self::power(logit, self.top) / self.total) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn best_is_a_stable_sort(values in prop::collection::vec(-3i8..3, 0..60), k in 0usize..70) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut order: Vec<i64> = (0..values.len() as i64).collect();
            order.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]));
            order.truncate(k);
            prop_assert_eq!(best(&values, k, false).0, order);
        }

        #[test]
        fn any_bits_are_survived(bits in prop::collection::vec(any::<u32>(), 0..40), k in 0usize..50) {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let (ids, scores) = best(&values, k, true);
            prop_assert_eq!(ids.len(), k.min(values.len()));
            prop_assert!(scores.iter().all(|v| v.is_nan() || (0.0..=1.0).contains(v)));
            prop_assert!(!scores.windows(2).any(|pair| pair[0] < pair[1]));
        }
    }
}

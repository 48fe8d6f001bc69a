//! Best classes: they equal a stable sort with NaN last; softmax gives probabilities.

use arbitrary::{Result, Unstructured};
use native::fuzzing::ranking::best;

use crate::values::{bits, floats};

#[derive(Debug)]
struct Case {
    values: Vec<f32>,
    k: usize,
    softmax: bool,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes))
        .map(|case| check(&case))
        .ok();
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let count = u.int_in_range(0..=200)?;
    let k = if u.arbitrary()? {
        u.int_in_range(0..=8)?
    } else {
        u.arbitrary()?
    };
    let softmax = u.arbitrary()?;
    let values = floats(u, count)?;
    Ok(Case { values, k, softmax })
}

fn check(case: &Case) {
    let Case { values, k, softmax } = case;
    let (classes, scores) = best(values, *k, *softmax);
    let order: Vec<usize> = classes.iter().map(|&class| class as usize).collect();
    assert_eq!(order, sorted(values, *k));
    assert_eq!(scores.len(), order.len());
    let own: Vec<f32> = order.iter().map(|&i| values[i]).collect();
    if !softmax {
        assert_eq!(bits(&scores), bits(&own));
        return;
    }
    for (score, value) in scores.iter().zip(own) {
        assert_eq!(score.is_nan(), value.is_nan());
        assert!(score.is_nan() || (0.0..=1.0).contains(score), "{score}");
    }
    assert!(
        !scores.windows(2).any(|pair| pair[0] < pair[1]),
        "{scores:?}"
    );
    let total: f64 = scores
        .iter()
        .filter(|score| !score.is_nan())
        .map(|&score| f64::from(score))
        .sum();
    assert!(total < 1.0001, "{total}");
}

fn sorted(values: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| {
        let by_value = values[b].partial_cmp(&values[a]);
        by_value.unwrap_or_else(|| values[a].is_nan().cmp(&values[b].is_nan()))
    });
    order.truncate(k);
    order
}

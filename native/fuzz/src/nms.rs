//! NMS: it keeps the same boxes as a textbook implementation.

use arbitrary::{Result, Unstructured};
use native::fuzzing::boxes::{Xyxy, iou, is_finite};
use native::fuzzing::nms::{Options, batched};

use crate::values::{assert_descending, floats, nms_options, seldom};

#[derive(Debug)]
struct Case {
    boxes: Vec<Xyxy>,
    scores: Vec<f32>,
    classes: Vec<i64>,
    options: Options,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes))
        .map(|case| check(&case))
        .ok();
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let count = u.int_in_range(0..=90)?;
    let options = nms_options(u)?;
    let one_less = |u: &mut Unstructured| Ok(count - usize::from(count > 0 && seldom(u, 32)?));
    let (of_scores, of_classes) = (one_less(u)?, one_less(u)?);
    let several = u.int_in_range(1..=4_i64)?;
    let any_class = seldom(u, 8)?;
    let classes = (0..of_classes as i64).map(|i| {
        if any_class {
            u.arbitrary()
        } else {
            Ok(i % several)
        }
    });
    let classes = classes.collect::<Result<_>>()?;
    let sizes = u.arbitrary::<bool>()?;
    let scores = floats(u, of_scores)?;
    let mut boxes = floats(u, count * 4)?.as_chunks().0.to_vec();
    if sizes {
        boxes.iter_mut().for_each(turn_outside);
    }
    Ok(Case {
        boxes,
        scores,
        classes,
        options,
    })
}

/// Order the corners, because most boxes from random numbers are inverted.
fn turn_outside(b: &mut Xyxy) {
    let [left, top, width, height] = *b;
    *b = [left, top, left + width.abs(), top + height.abs()];
}

fn check(case: &Case) {
    let kept = batched(&case.boxes, &case.scores, &case.classes, &case.options);
    let count = case.boxes.len();
    let valid = (case.scores.len(), case.classes.len()) == (count, count);
    assert_eq!(kept.is_ok(), valid);
    let Ok(kept) = kept else { return };
    assert!(kept.len() <= case.options.max_detections);
    assert!(kept.iter().all(|&i| is_finite(&case.boxes[i])));
    let scores: Vec<f32> = kept.iter().map(|&i| case.scores[i]).collect();
    assert_descending(&scores);
    if case.options.epsilon == 0.0 && case.options.iou_threshold >= 0.0 {
        assert_eq!(kept, textbook(case));
    } else {
        let mut once = kept.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), kept.len());
    }
}

fn textbook(case: &Case) -> Vec<usize> {
    let (scores, options) = (&case.scores, &case.options);
    let mut order: Vec<usize> = (0..case.boxes.len())
        .filter(|&i| is_finite(&case.boxes[i]) && !scores[i].is_nan())
        .collect();
    // stable sort; adding 0.0 makes both zeros equal
    order.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
    order.truncate(options.max_candidates);
    let mut seen = Vec::new();
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        let class = case.classes[i];
        let before = seen.iter().filter(|&&other| other == class).count();
        seen.push(class);
        let overlapped = |&k: &usize| {
            let shared = iou(&case.boxes[k], &case.boxes[i]);
            case.classes[k] == class && shared > options.iou_threshold
        };
        if before < options.max_per_class && !kept.iter().any(overlapped) {
            kept.push(i);
        }
    }
    kept.truncate(options.max_detections);
    kept
}

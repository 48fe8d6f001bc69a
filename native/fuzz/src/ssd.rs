//! SSD decoder: it finds the same detections as computing every score.

use arbitrary::{Result, Unstructured};
use native::fuzzing::boxes::Xyxy;
use native::fuzzing::nms;
use native::fuzzing::ssd::{Activation, Detections, Map, Options, Order, decode};

use crate::values::{
    assert_descending, bits, floats, nms_options, no_side, seldom, side, threshold,
};

#[derive(Debug)]
struct Layer {
    classes: Vec<f32>,
    boxes: Vec<f32>,
    anchors: usize,
    cells: usize,
}

#[derive(Debug)]
struct Case {
    layers: Vec<Layer>,
    images: usize,
    anchors: Vec<[f32; 4]>,
    options: Options,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes))
        .map(|case| check(&case))
        .ok();
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let options = Options {
        activation: *u.choose(&[Activation::Sigmoid, Activation::Softmax, Activation::None])?,
        classes: u.int_in_range(1..=6)?,
        order: *u.choose(&[Order::XYWH, Order::YXHW])?,
        score_threshold: threshold(u)?,
        nms: nms_options(u)?,
    };
    let images = u.int_in_range(0..=3)?;
    let layers = (0..u.int_in_range(0..=3)?).map(|_| layer(u, images, options.classes));
    let layers: Vec<Layer> = layers.collect::<Result<_>>()?;
    let count: usize = layers.iter().map(|layer| layer.anchors * layer.cells).sum();
    let anchors = floats(u, count * 4)?.as_chunks().0.to_vec();
    let mut case = Case {
        layers,
        images,
        anchors,
        options,
    };
    if seldom(u, 16)? {
        damage(u, &mut case)?;
    }
    Ok(case)
}

fn layer(u: &mut Unstructured, images: usize, classes: usize) -> Result<Layer> {
    let (anchors, cells) = (u.int_in_range(1..=4)?, side(u, 150)?);
    let values = images * anchors * cells;
    let scores = floats(u, values * classes)?;
    Ok(Layer {
        classes: scores,
        boxes: floats(u, values * 4)?,
        anchors,
        cells,
    })
}

/// Make one of the sizes wrong.
fn damage(u: &mut Unstructured, case: &mut Case) -> Result<()> {
    let which = u.int_in_range(0..=6_u8)?;
    let any = no_side(u)?;
    match (case.layers.last_mut(), which) {
        (Some(layer), 0) => layer.anchors = any,
        (Some(layer), 1) => layer.cells = any,
        (Some(layer), 2) => layer.classes.push(0.0),
        (Some(layer), 3) => layer.boxes.push(0.0),
        (Some(_), 4) => case.options.classes = any,
        (Some(_), 5) => case.images = any,
        _ => case.anchors.push([0.5; 4]),
    }
    Ok(())
}

fn is_valid(case: &Case) -> bool {
    let wide = |n: usize| n as u128;
    let places = |layer: &Layer| wide(layer.anchors) * wide(layer.cells);
    let classes = wide(case.options.classes);
    let fits = |layer: &Layer| {
        let values = wide(case.images) * places(layer);
        let lengths = (wide(layer.classes.len()), wide(layer.boxes.len()));
        classes > 0 && layer.cells > 0 && lengths == (values * classes, values * 4)
    };
    let total: u128 = case.layers.iter().map(places).sum();
    total == wide(case.anchors.len()) && case.layers.iter().all(fits)
}

fn check(case: &Case) {
    let maps = case.layers.iter().map(|layer| Map {
        classes: &layer.classes,
        boxes: &layer.boxes,
        anchors: layer.anchors,
        cells: layer.cells,
    });
    let maps: Vec<Map> = maps.collect();
    let found = decode(&maps, case.images, &case.anchors, &case.options);
    assert_eq!(found.is_ok(), is_valid(case));
    let Ok(found) = found else { return };
    assert_eq!(found.len(), case.images);
    for (image, found) in found.iter().enumerate() {
        assert_detections(found, case.options.score_threshold, &case.options.nms);
        let last = case.options.classes as i64;
        assert!(found.classes.iter().all(|class| (1..last).contains(class)));
        if case.options.score_threshold >= 1e-6 {
            assert_same(found, &candidates(case, &maps, image), &case.options.nms);
        }
    }
}

/// Check invariants of detections.
pub fn assert_detections(found: &Detections, min_score: f32, options: &nms::Options) {
    let count = found.scores.len();
    assert_eq!((found.boxes.len(), found.classes.len()), (count, count));
    assert!(count <= options.max_detections);
    assert!(
        found
            .boxes
            .as_flattened()
            .iter()
            .all(|value| value.is_finite())
    );
    assert!(
        found
            .scores
            .iter()
            .all(|&score| score >= min_score && score.is_finite())
    );
    assert_descending(&found.scores);
}

/// Check that `found` equals the suppressed `candidates`.
pub fn assert_same(found: &Detections, candidates: &Detections, options: &nms::Options) {
    let Detections {
        boxes,
        scores,
        classes,
    } = candidates;
    let kept = nms::batched(boxes, scores, classes, options).unwrap_or_default();
    let boxes: Vec<Xyxy> = kept.iter().map(|&i| boxes[i]).collect();
    let scores: Vec<f32> = kept.iter().map(|&i| scores[i]).collect();
    let classes: Vec<i64> = kept.iter().map(|&i| classes[i]).collect();
    assert_eq!(classes, found.classes);
    assert_eq!(bits(&scores), bits(&found.scores));
    assert_eq!(bits(boxes.as_flattened()), bits(found.boxes.as_flattened()));
}

/// Return everything that reaches the score threshold, computed one by one.
fn candidates(case: &Case, maps: &[Map], image: usize) -> Detections {
    let options = &case.options;
    let mut found = Detections::default();
    let mut base = 0;
    for map in maps {
        for anchor in 0..map.anchors {
            let at = image * map.anchors + anchor;
            for (class, cell) in
                (1..options.classes).flat_map(|k| (0..map.cells).map(move |c| (k, c)))
            {
                let logit =
                    |class: usize| map.classes[(at * options.classes + class) * map.cells + cell];
                let column: Vec<f32> = (0..options.classes).map(logit).collect();
                let score = score(options.activation, &column, class);
                if score >= options.score_threshold && score.is_finite() {
                    let deltas = options
                        .order
                        .0
                        .map(|i| map.boxes[(at * 4 + i) * map.cells + cell]);
                    let anchor = case.anchors[base + cell * map.anchors + anchor];
                    found.push(place(deltas, anchor), score, class);
                }
            }
        }
        base += map.anchors * map.cells;
    }
    found
}

fn score(activation: Activation, column: &[f32], class: usize) -> f32 {
    let value = f64::from(column[class]);
    match activation {
        Activation::None => column[class],
        Activation::Sigmoid => (1.0 / (1.0 + (-value).exp())) as f32,
        Activation::Softmax => {
            let numbers = || column.iter().map(|&x| f64::from(x));
            let top = numbers().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = numbers().fold(0.0, |sum, x| sum + (x - top).exp());
            ((value - top).exp() / total) as f32
        }
    }
}

/// Return the decoded box of an anchor, by SSD's formula.
fn place([dx, dy, dw, dh]: [f32; 4], [x, y, width, height]: [f32; 4]) -> Xyxy {
    let grown = |delta: f32| f64::from(delta * 0.2).exp() as f32;
    let (x, y) = (x + dx * 0.1 * width, y + dy * 0.1 * height);
    let (across, down) = (grown(dw) * width * 0.5, grown(dh) * height * 0.5);
    [x - across, y - down, x + across, y + down]
}

//! YOLO decoder: it finds the same detections as computing every class of every cell.

use arbitrary::{Result, Unstructured};
use native::fuzzing::boxes::Xyxy;
use native::fuzzing::ssd::Detections;
use native::fuzzing::yolo::{FeatureMap, Found, Options, decode};

use crate::ssd::{assert_detections, assert_same};
use crate::values::{float, floats, nms_options, no_side, seldom, side, threshold};

#[derive(Debug)]
struct Layer {
    first: Vec<f32>,
    second: Vec<f32>,
    width: usize,
    cells: usize,
    stride: f32,
    anchors: Vec<[f32; 2]>,
}

#[derive(Debug)]
struct Case {
    layers: Vec<Layer>,
    images: usize,
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
        classes: u.int_in_range(1..=5)?,
        keypoints: if u.arbitrary()? {
            u.int_in_range(0..=4)?
        } else {
            0
        },
        sigmoid: u.arbitrary()?,
        score_threshold: threshold(u)?,
        nms: nms_options(u)?,
    };
    let images = u.int_in_range(0..=3)?;
    let layers = (0..u.int_in_range(0..=3)?).map(|_| layer(u, images, &options));
    let layers = layers.collect::<Result<_>>()?;
    let mut case = Case {
        layers,
        images,
        options,
    };
    if seldom(u, 16)? {
        damage(u, &mut case)?;
    }
    Ok(case)
}

fn layer(u: &mut Unstructured, images: usize, options: &Options) -> Result<Layer> {
    let width = side(u, 16)?;
    let cells = width * side(u, 10)?;
    let sizes = u.int_in_range(1..=3)?;
    let channels = sizes * (5 + options.classes + 3 * options.keypoints);
    let stride = if seldom(u, 8)? { float(u)? } else { 8.0 };
    let anchors = floats(u, sizes * 2)?.as_chunks().0.to_vec();
    let split = if u.arbitrary()? {
        u.int_in_range(0..=channels)?
    } else {
        channels
    };
    let first = floats(u, images * cells * split)?;
    Ok(Layer {
        first,
        second: floats(u, images * cells * (channels - split))?,
        width,
        cells,
        stride,
        anchors,
    })
}

/// Make one of the sizes wrong.
fn damage(u: &mut Unstructured, case: &mut Case) -> Result<()> {
    let which = u.int_in_range(0..=8_u8)?;
    let any = no_side(u)?;
    match (case.layers.last_mut(), which) {
        (Some(layer), 0) => layer.width = any,
        (Some(layer), 1) => layer.cells = any,
        (Some(layer), 2) => layer.first.push(0.0),
        (Some(layer), 3) => layer.second.push(0.0),
        (Some(layer), 4) => {
            layer.second.extend(layer.first.pop());
        }
        (Some(layer), 5) => layer.anchors.push([1.0; 2]),
        (Some(_), 6) => case.images = any,
        (Some(_), 7) => case.options.keypoints = any,
        _ => case.options.classes = any,
    }
    Ok(())
}

fn is_valid(case: &Case) -> bool {
    let wide = |n: usize| n as u128;
    let Options {
        classes, keypoints, ..
    } = case.options;
    let channels = 5 + wide(classes) + 3 * wide(keypoints);
    let fits = |layer: &Layer| {
        let (first, second) = (wide(layer.first.len()), wide(layer.second.len()));
        let plane = wide(case.images) * wide(layer.cells);
        let whole = plane == 0 || first % plane == 0;
        let all = plane * wide(layer.anchors.len()) * channels;
        layer.width > 0 && layer.cells > 0 && whole && first + second == all
    };
    classes > 0 && case.layers.iter().all(fits)
}

fn check(case: &Case) {
    let levels = case.layers.iter().map(|layer| FeatureMap {
        first: &layer.first,
        second: &layer.second,
        width: layer.width,
        cells: layer.cells,
        stride: layer.stride,
        anchors: &layer.anchors,
    });
    let levels: Vec<FeatureMap> = levels.collect();
    let found = decode(&levels, case.images, &case.options);
    assert_eq!(found.is_ok(), is_valid(case));
    let Ok(found) = found else { return };
    assert_eq!(found.len(), case.images);
    for (image, found) in found.iter().enumerate() {
        check_image(case, image, found);
    }
}

fn check_image(case: &Case, image: usize, (found, points): &Found) {
    let options = &case.options;
    let last = options.classes as i64;
    assert!(found.classes.iter().all(|class| (0..last).contains(class)));
    assert_eq!(points.len(), found.scores.len() * options.keypoints * 3);
    if options.score_threshold > 0.0 {
        assert_detections(found, options.score_threshold, &options.nms);
    }
    if options.score_threshold >= 1e-6 {
        assert_same(found, &candidates(case, image), &options.nms);
    }
    let plain = |layer: &Layer| {
        let values = [&layer.first, &layer.second].into_iter().flatten();
        layer.stride.abs() < 100.0 && values.into_iter().all(|value| value.abs() < 100.0)
    };
    if case.layers.iter().all(plain) {
        assert!(points.iter().all(|value| value.is_finite()));
    }
}

/// Return everything that reaches the score threshold, computed one by one.
fn candidates(case: &Case, image: usize) -> Detections {
    let options = &case.options;
    let mut found = Detections::default();
    for layer in &case.layers {
        let channels = 5 + options.classes + 3 * options.keypoints;
        for (anchor, &size) in layer.anchors.iter().enumerate() {
            for (class, cell) in
                (0..options.classes).flat_map(|k| (0..layer.cells).map(move |c| (k, c)))
            {
                let value = |k: usize| layer.value(image, case.images, anchor * channels + k, cell);
                let [x, y, width, height, object, probability] =
                    [0, 1, 2, 3, 4, 5 + class].map(|k| activate(options, value(k)));
                let score = probability * object;
                if object >= options.score_threshold
                    && score >= options.score_threshold
                    && score.is_finite()
                {
                    found.push(layer.place(cell, [x, y, width, height], size), score, class);
                }
            }
        }
    }
    found
}

fn activate(options: &Options, value: f32) -> f32 {
    if options.sigmoid {
        (1.0 / (1.0 + (-f64::from(value)).exp())) as f32
    } else {
        value
    }
}

impl Layer {
    /// Return the value of a channel, which is in the first or the second tensor.
    fn value(&self, image: usize, images: usize, channel: usize, cell: usize) -> f32 {
        let [first, second] = [&self.first, &self.second].map(|v| v.len() / images / self.cells);
        if channel < first {
            self.first[(image * first + channel) * self.cells + cell]
        } else {
            self.second[(image * second + channel - first) * self.cells + cell]
        }
    }

    /// Return the decoded box of a cell, by the formula of `YOLOv5` and `YOLOv7`.
    fn place(&self, cell: usize, [x, y, width, height]: [f32; 4], anchor: [f32; 2]) -> Xyxy {
        let center = |offset: f32, cell: usize| (offset * 2.0 - 0.5 + cell as f32) * self.stride;
        let half = |root: f32, side: f32| (root * 2.0) * (root * 2.0) * (side * self.stride) * 0.5;
        let (x, y) = (center(x, cell % self.width), center(y, cell / self.width));
        let (across, down) = (half(width, anchor[0]), half(height, anchor[1]));
        [x - across, y - down, x + across, y + down]
    }
}

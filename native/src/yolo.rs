//! Decoder of YOLO heads (v5, and v7 with keypoints), which reads the raw NCHW maps.
//!
//! An anchor has the channels x, y, width, height, objectness, one per class, and x, y and
//! confidence of every keypoint. A linear scan finds the cells whose objectness may reach the score
//! threshold, and only these are decoded.

use crate::boxes::Xyxy;
use crate::candidates::{above, prefilter_logit, prefilter_score, sigmoid};
use crate::detections::Detections;
use crate::error::Error;
use crate::feature_maps::{FeatureMap, ImagePlanes};
use crate::nms;
use crate::parallel;

/// Number of an anchor's channels before its classes, and of channels per keypoint.
const BOX_CHANNELS: usize = 5;
const POINT_CHANNELS: usize = 3;
const OBJECTNESS: usize = 4;

/// Options of the decoder.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub classes: usize,
    pub keypoints: usize,
    /// Whether the maps are logits.
    pub sigmoid: bool,
    /// Minimum score of a detection; more than 0.
    pub score_threshold: f32,
    pub nms: nms::Options,
}

impl Options {
    /// Return the number of channels of an anchor; saturates.
    pub fn channels(&self) -> usize {
        let points = POINT_CHANNELS.saturating_mul(self.keypoints);
        BOX_CHANNELS
            .saturating_add(self.classes)
            .saturating_add(points)
    }

    fn activate(&self, value: f32) -> f32 {
        if self.sigmoid { sigmoid(value) } else { value }
    }

    /// Return the minimum value whose activation may reach `probability`.
    fn bound(&self, probability: f64) -> f32 {
        if self.sigmoid {
            prefilter_logit(probability)
        } else {
            prefilter_score(probability) as f32
        }
    }
}

/// Detections of one image, and x, y and confidence of their keypoints.
pub type Found = (Detections, Vec<f32>);

/// Return the detections of every image of the batch, in pixels of the network's input.
pub fn decode(
    levels: &[FeatureMap],
    images: usize,
    options: &Options,
) -> Result<Vec<Found>, Error> {
    if options.classes == 0 {
        return Err(Error::value("the number of classes must be at least 1", 0));
    }
    for level in levels {
        level.check(images, options.channels())?;
    }
    // for most cells only the objectness is read
    let scanned = |level: &FeatureMap| images * level.cells * level.anchors.len();
    let work = levels.iter().map(scanned).sum();
    let decoded = parallel::map(images, work, |image| {
        let planes = levels
            .iter()
            .map(|level| ImagePlanes::new(level, image, images));
        decode_image(&planes.collect::<Vec<_>>(), options)
    });
    decoded.into_iter().collect()
}

/// A cell and anchor that may contain an object.
struct Object {
    cell: usize,
    placed: Xyxy,
    objectness: f32,
    /// Minimum class value of a detection.
    bound: f32,
}

/// Position of a candidate: feature map, first channel of its anchor, cell.
type Place = (usize, usize, usize);

fn decode_image(levels: &[ImagePlanes], options: &Options) -> Result<Found, Error> {
    let mut found = Detections::default();
    let mut places: Vec<Place> = Vec::new();
    let (mut hits, mut objects) = (Vec::new(), Vec::new());
    for (index, planes) in levels.iter().enumerate() {
        for (anchor, &size) in planes.level.anchors.iter().enumerate() {
            let base = anchor * options.channels();
            find(planes, base, size, options, &mut hits, &mut objects);
            for class in 0..options.classes {
                let row = planes.channel(base + BOX_CHANNELS + class);
                for object in &objects {
                    let value = row[object.cell];
                    if value >= object.bound {
                        let score = options.activate(value) * object.objectness;
                        let passes = score >= options.score_threshold && score.is_finite();
                        if passes && found.push(object.placed, score, class) {
                            places.push((index, base, object.cell));
                        }
                    }
                }
            }
        }
    }
    let (best, kept) = found.suppress(&options.nms)?;
    let points = kept
        .iter()
        .flat_map(|&i| keypoints(levels, places[i], options));
    let points = points.collect();
    Ok((best, points))
}

/// Write the cells whose objectness passes, with their boxes.
fn find(
    planes: &ImagePlanes,
    base: usize,
    size: [f32; 2],
    options: &Options,
    hits: &mut Vec<usize>,
    objects: &mut Vec<Object>,
) {
    let threshold = f64::from(options.score_threshold);
    let row = planes.channel(base + OBJECTNESS);
    above(row, options.bound(threshold), hits);
    let corners = [0, 1, 2, 3].map(|i| planes.channel(base + i));
    objects.clear();
    objects.extend(hits.iter().filter_map(|&cell| {
        let objectness = options.activate(row[cell]);
        (objectness >= options.score_threshold).then(|| {
            let values = corners.map(|channel| options.activate(channel[cell]));
            Object {
                cell,
                placed: place(planes, cell, values, size),
                objectness,
                bound: options.bound(threshold / f64::from(objectness)),
            }
        })
    }));
}

fn place(planes: &ImagePlanes, cell: usize, values: [f32; 4], anchor: [f32; 2]) -> Xyxy {
    let [x, y, width, height] = values;
    let (x, y) = planes.point(cell, x, y);
    let half = |root: f32, side: f32| {
        let root = root * 2.0;
        root * root * (side * planes.level.stride) * 0.5
    };
    let (across, down) = (half(width, anchor[0]), half(height, anchor[1]));
    [x - across, y - down, x + across, y + down]
}

/// Return x, y and confidence of every keypoint. Unlike a box's center, x and y have no sigmoid.
fn keypoints(levels: &[ImagePlanes], (level, base, cell): Place, options: &Options) -> Vec<f32> {
    let planes = &levels[level];
    let first = base + BOX_CHANNELS + options.classes;
    (0..options.keypoints)
        .flat_map(|i| {
            let value = |k: usize| planes.channel(first + POINT_CHANNELS * i + k)[cell];
            let (x, y) = planes.point(cell, value(0), value(1));
            [x, y, options.activate(value(2))]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::is_finite;
    use proptest::prelude::*;

    const ANCHORS: [[f32; 2]; 2] = [[1.5, 2.0], [3.0, 0.5]];

    fn options(classes: usize, keypoints: usize, sigmoid: bool, score_threshold: f32) -> Options {
        Options {
            classes,
            keypoints,
            sigmoid,
            score_threshold,
            nms: nms::Options::unlimited(1.0),
        }
    }

    fn level<'a>(first: &'a [f32], second: &'a [f32]) -> FeatureMap<'a> {
        FeatureMap {
            first,
            second,
            width: 3,
            cells: 6,
            stride: 8.0,
            anchors: &ANCHORS,
        }
    }

    proptest! {
        #[test]
        fn the_scan_loses_nothing(
            values in prop::collection::vec(-6.0f32..6.0, 2 * 8 * 6),
            threshold in 0.001f32..1.0,
            sigmoid: bool,
        ) {
            let activate = |x: f32| if sigmoid { 1.0 / (1.0 + (-x).exp()) } else { x };
            let expected = (0..2).flat_map(|a| (0..3).flat_map(move |c| (0..6).map(move |i| (a, c, i))));
            let expected = expected.filter(|&(anchor, class, cell)| {
                let value = |k: usize| activate(values[(anchor * 8 + k) * 6 + cell]);
                value(4) >= threshold && value(4) * value(5 + class) >= threshold
            });
            let found = decode(&[level(&values, &[])], 1, &options(3, 0, sigmoid, threshold)).unwrap();
            prop_assert!(found[0].0.scores.len().abs_diff(expected.count()) <= 1);
        }

        #[test]
        fn any_bits_are_survived(
            bits in prop::collection::vec(any::<u32>(), 2 * 2 * 12 * 6),
            split in 0usize..24,
            sigmoid: bool,
        ) {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let (first, second) = values.split_at(2 * split * 6);
            let options = options(1, 2, sigmoid, 1e-6);
            for (found, points) in decode(&[level(first, second)], 2, &options).unwrap() {
                prop_assert_eq!(points.len(), found.scores.len() * 6);
                prop_assert!(found.boxes.iter().all(is_finite));
                prop_assert!(found.scores.iter().all(|&score| score >= 1e-6));
            }
        }

        #[test]
        fn two_tensors_are_one(values in prop::collection::vec(-6.0f32..6.0, 2 * 12 * 6), split in 0usize..24) {
            let options = options(1, 2, true, 0.1);
            let (first, second) = values.split_at(split * 6);
            let (one, points) = &decode(&[level(&values, &[])], 1, &options).unwrap()[0];
            let (two, its_points) = &decode(&[level(first, second)], 1, &options).unwrap()[0];
            prop_assert_eq!(&one.boxes, &two.boxes);
            prop_assert_eq!(points, its_points);
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let values = [0.0; 2 * 8 * 6];
        let good = options(3, 0, true, 0.5);
        assert!(decode(&[level(&values[1..], &values[..1])], 1, &good).is_err());
        assert!(decode(&[level(&values[6..], &[])], 1, &good).is_err());
        assert!(decode(&[level(&values, &[])], 1, &options(0, 1, true, 0.5)).is_err());
        assert!(decode(&[level(&[], &[])], 0, &good).unwrap().is_empty());
        assert!(decode(&[level(&values, &[])], usize::MAX, &good).is_err());
        for huge in [usize::MAX, usize::MAX / 3 + 1] {
            assert!(decode(&[level(&values, &[])], 1, &options(huge, 0, true, 0.5)).is_err());
            assert!(decode(&[level(&values, &[])], 1, &options(3, huge, true, 0.5)).is_err());
        }
    }
}

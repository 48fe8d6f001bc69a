//! The decoder of `MoveNet` `MultiPose`: people as peaks of a map of centers.
//!
//! See `heads/center_pose.py`, whose results are the same.

use crate::boxes::Xyxy;
use crate::error::{Error, product};

/// Number of joints of a person.
pub const KEYPOINTS: usize = 17;
/// Channels of the six maps.
pub const CHANNELS: [usize; 6] = [1, 2, 2, KEYPOINTS, 2 * KEYPOINTS, 2 * KEYPOINTS];

const SAME: f32 = 1.013_279e-6;
const SPREAD: f32 = 0.300_048_83;
const SURE: f32 = 0.126_953_13;
const REACH: usize = 2;

/// The people of an image, best first, in cells.
#[derive(Debug, Default)]
pub struct People {
    pub boxes: Vec<Xyxy>,
    pub scores: Vec<f32>,
    /// x, y and confidence of each joint of each person.
    pub keypoints: Vec<[f32; 3]>,
}

/// The maps of an image: centers, size and offset of the box, and scores, expected places and
/// offsets of the joints. Vectors are y, x.
struct Maps<'a> {
    height: usize,
    width: usize,
    center: &'a [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    heat: &'a [f32],
    guess: &'a [f32],
    shift: &'a [f32],
}

/// Where a person's joints may be.
struct Person {
    score: f32,
    top_left: [f32; 2],
    bottom_right: [f32; 2],
    expected: [[f32; 2]; KEYPOINTS],
}

/// Return the people of every image; each map is dense, (images, channels, height, width).
pub fn decode(
    maps: [&[f32]; 6],
    images: usize,
    height: usize,
    width: usize,
    limit: usize,
) -> Result<Vec<People>, Error> {
    let mut cells = 0;
    for (map, channels) in maps.iter().zip(CHANNELS) {
        let expected = product([images, channels, height, width]);
        if expected != Some(map.len()) {
            let shape = format!("({images}, {channels}, {height}, {width})");
            return Err(Error::shape("maps", shape, format!("{} values", map.len())));
        }
        cells = height * width;
    }
    let found = (0..images).map(|i| {
        let part = |map: usize| &maps[map][i * CHANNELS[map] * cells..][..CHANNELS[map] * cells];
        let image = Maps {
            height,
            width,
            center: part(0),
            scale: part(1),
            offset: part(2),
            heat: part(3),
            guess: part(4),
            shift: part(5),
        };
        image.people(limit)
    });
    Ok(found.collect())
}

impl Maps<'_> {
    fn people(&self, limit: usize) -> People {
        let people: Vec<Person> = self
            .peaks(limit)
            .into_iter()
            .map(|cell| self.person(cell))
            .collect();
        let mut found: Vec<(f32, Xyxy, [[f32; 3]; KEYPOINTS])> = people
            .iter()
            .map(|person| {
                let joints: [[f32; 3]; KEYPOINTS] =
                    std::array::from_fn(|k| self.joint(k, person, &people));
                let (mut sum, mut sure) = (0.0, 0.0f32);
                for [_, _, confidence] in joints {
                    if confidence > SURE {
                        sum += confidence;
                        sure += 1.0;
                    }
                }
                let ([top, left], [bottom, right]) = (person.top_left, person.bottom_right);
                let score = person.score * (sum / sure.max(1.0));
                (score, [left, top, right, bottom], joints)
            })
            .collect();
        found.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal));
        let mut people = People::default();
        for (score, corners, joints) in found {
            people.scores.push(score);
            people.boxes.push(corners);
            people.keypoints.extend(joints);
        }
        people
    }

    /// Return the cells of the highest peaks, best first.
    fn peaks(&self, limit: usize) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.height * self.width)
            .filter(|&cell| self.center[cell] > 0.0 && self.is_peak(cell))
            .collect();
        found.sort_by(|&a, &b| self.center[b].total_cmp(&self.center[a]));
        found.truncate(limit);
        found
    }

    fn is_peak(&self, cell: usize) -> bool {
        let (row, column) = (cell / self.width, cell % self.width);
        let rows = row.saturating_sub(REACH)..(row + REACH + 1).min(self.height);
        let columns = column.saturating_sub(REACH)..(column + REACH + 1).min(self.width);
        let own = self.center[cell];
        // As in numpy, a NaN among the neighbors is the maximum, and infinity differs from itself.
        own.is_finite()
            && rows.into_iter().all(|y| {
                let around = &self.center[y * self.width..][columns.clone()];
                around.iter().all(|&other| (other - own) < SAME)
            })
    }

    fn person(&self, cell: usize) -> Person {
        let cells = self.height * self.width;
        let at = [(cell / self.width) as f32, (cell % self.width) as f32];
        let sides = [self.height as f32, self.width as f32];
        let edge = |sign: f32| {
            std::array::from_fn(|axis| {
                let half = self.scale[axis * cells + cell].max(0.0) * 0.5;
                let middle = self.offset[axis * cells + cell] + at[axis];
                (middle + sign * half).min(sides[axis]).max(0.0)
            })
        };
        Person {
            score: self.center[cell],
            top_left: edge(-1.0),
            bottom_right: edge(1.0),
            expected: std::array::from_fn(|k| {
                std::array::from_fn(|axis| self.guess[(2 * k + axis) * cells + cell] + at[axis])
            }),
        }
    }

    /// Return the score of a joint of a person in a cell.
    fn score(&self, joint: usize, person: &Person, row: usize, column: usize) -> f32 {
        let (y, x) = (row as f32, column as f32);
        let ([top, left], [bottom, right]) = (person.top_left, person.bottom_right);
        if !(y >= top && y < bottom && x >= left && x < right) {
            return 0.0;
        }
        let [ey, ex] = person.expected[joint];
        let spread = SPREAD * self.height.min(self.width) as f32;
        let distance = (y - ey) * (y - ey) + (x - ex) * (x - ex);
        let heat = self.heat[(joint * self.height + row) * self.width + column];
        heat * (-distance / spread).exp()
    }

    /// Return x, y and confidence of a joint.
    fn joint(&self, joint: usize, person: &Person, people: &[Person]) -> [f32; 3] {
        let cells = self.height * self.width;
        let first = |low: f32| low.ceil() as usize;
        let ([top, left], [bottom, right]) = (person.top_left, person.bottom_right);
        let (mut cell, mut best) = (0, 0.0);
        'search: for row in first(top)..first(bottom).min(self.height) {
            for column in first(left)..first(right).min(self.width) {
                let score = self.score(joint, person, row, column);
                if score > best {
                    (cell, best) = (row * self.width + column, score);
                } else if score.is_nan() {
                    cell = row * self.width + column; // the maximum, as in numpy
                    break 'search;
                }
            }
        }
        let (row, column) = (cell / self.width, cell % self.width);
        // The graph takes the best score of all people in the cell.
        let confidence = people
            .iter()
            .map(|other| self.score(joint, other, row, column))
            .fold(0.0, |a: f32, b| if a.is_nan() || a > b { a } else { b });
        [
            column as f32 + self.shift[(2 * joint + 1) * cells + cell],
            row as f32 + self.shift[2 * joint * cells + cell],
            confidence,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bits_are_survived(
            height in 0usize..5,
            width in 0usize..5,
            bits in prop::collection::vec(any::<u32>(), 2 * 34 * 25),
        ) {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let maps = CHANNELS.map(|channels| &values[..2 * channels * height * width]);
            let found = decode(maps, 2, height, width, 6).unwrap();
            for people in found {
                prop_assert!(people.scores.len() <= 6);
                prop_assert_eq!(people.keypoints.len(), KEYPOINTS * people.scores.len());
            }
        }
    }

    #[test]
    fn wrong_sizes_are_errors() {
        assert!(decode([&[0.0]; 6], 1, 1, 1, 6).is_err());
        assert!(decode([&[]; 6], usize::MAX, 2, 2, 6).is_err());
    }
}

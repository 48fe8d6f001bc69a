//! Maps of a network at the size of the photo: the best class, or the opacity, of each pixel; or
//! whether it belongs to a mask.

use crate::error::Error;
use crate::parallel;

/// Maximum number of classes.
pub const MAX_CLASSES: usize = 1 << 15;
/// Rows of the photo that are processed together.
const BAND: usize = 32;

/// Where the pixels of the photo lie on a map, along one axis: between which samples, and how far
/// from the first of them.
#[derive(Clone, Copy)]
pub struct Axis<'a> {
    low: &'a [i32],
    high: &'a [i32],
    weight: &'a [f32],
}

impl<'a> Axis<'a> {
    /// Check that the columns are equally long, and that the indices are of `samples` samples.
    pub fn new(
        low: &'a [i32],
        high: &'a [i32],
        weight: &'a [f32],
        samples: usize,
    ) -> Result<Self, Error> {
        let lengths = (low.len(), high.len(), weight.len());
        if lengths.0 != lengths.1 || lengths.0 != lengths.2 || lengths.0 == 0 {
            return Err(Error::shape(
                "an axis",
                "three columns of one length",
                format!("{lengths:?}"),
            ));
        }
        let is_outside = |&i: &i32| usize::try_from(i).map_or(true, |i| i >= samples);
        if let Some(i) = low.iter().chain(high).find(|i| is_outside(i)) {
            let reason = format!("the index {i} is outside of {samples} samples");
            return Err(Error::value("an axis", reason));
        }
        Ok(Self { low, high, weight })
    }

    fn len(&self) -> usize {
        self.low.len()
    }

    /// The two samples around a pixel, and the weight of the second one.
    fn at(&self, i: usize) -> (usize, usize, f32) {
        (self.low[i] as usize, self.high[i] as usize, self.weight[i])
    }
}

/// Scores of classes, `classes` x `height` x `width`, none of which is 0.
#[derive(Clone, Copy)]
pub struct Scores<'a> {
    values: &'a [f32],
    height: usize,
    width: usize,
}

impl<'a> Scores<'a> {
    /// Check the number of values and of classes.
    pub fn new(values: &'a [f32], shape: [usize; 3]) -> Result<Self, Error> {
        let [classes, height, width] = shape;
        let count = classes
            .checked_mul(height)
            .and_then(|n| n.checked_mul(width));
        if count != Some(values.len()) || values.is_empty() || classes > MAX_CLASSES {
            let expected = format!("scores of 1 to {MAX_CLASSES} classes");
            return Err(Error::shape("scores", expected, format!("{shape:?}")));
        }
        Ok(Self {
            values,
            height,
            width,
        })
    }

    /// The first best class of each sample.
    fn best(&self) -> Vec<u16> {
        let plane = self.height * self.width;
        let mut ids = vec![0; plane];
        let mut top = vec![f32::NEG_INFINITY; self.width];
        for (row, ids) in ids.chunks_exact_mut(self.width).enumerate() {
            top.fill(f32::NEG_INFINITY);
            for (class, scores) in self.values.chunks_exact(plane).enumerate() {
                let line = &scores[row * self.width..][..self.width];
                for ((top, id), &score) in top.iter_mut().zip(&mut *ids).zip(line) {
                    let is_better = score > *top;
                    *top = if is_better { score } else { *top };
                    *id = if is_better { class as u16 } else { *id };
                }
            }
        }
        ids
    }

    /// The first best class between four samples.
    fn best_between(&self, rows: (usize, usize, f32), columns: (usize, usize, f32)) -> u16 {
        let (top, bottom, down) = rows;
        let (left, right, across) = columns;
        let mut best = (f32::NEG_INFINITY, 0);
        let planes = self.values.chunks_exact(self.height * self.width);
        for (class, plane) in planes.enumerate() {
            let (above, below) = (&plane[top * self.width..], &plane[bottom * self.width..]);
            let first = lerp(above[left], below[left], down);
            let second = lerp(above[right], below[right], down);
            let score = lerp(first, second, across);
            if score > best.0 {
                best = (score, class as u16);
            }
        }
        best.1
    }
}

/// The rounding is that of numpy: no fused multiplication.
fn lerp(first: f32, second: f32, weight: f32) -> f32 {
    first + (second - first) * weight
}

/// Return the class with the best score at each pixel of the photo; see `ops.masks`.
///
/// Scores between samples are computed only where the classes of the four samples differ.
pub fn choose_classes<T: Copy + Send>(
    scores: Scores<'_>,
    rows: Axis<'_>,
    columns: Axis<'_>,
    convert: impl Fn(u16) -> T + Sync,
) -> Vec<T> {
    let best = scores.best();
    let width = scores.width;
    in_bands(rows.len(), columns.len(), |row, line| {
        let (top, bottom, down) = rows.at(row);
        let (above, below) = (&best[top * width..], &best[bottom * width..]);
        for column in 0..columns.len() {
            let (left, right, across) = columns.at(column);
            let id = above[left];
            let is_clear = above[right] == id && below[left] == id && below[right] == id;
            line.push(convert(if is_clear {
                id
            } else {
                scores.best_between((top, bottom, down), (left, right, across))
            }));
        }
    })
}

/// Return the opacity of each pixel of the photo, for a map with rows of `width` values.
pub fn resize_alpha(values: &[f32], width: usize, rows: Axis<'_>, columns: Axis<'_>) -> Vec<u8> {
    in_bands(rows.len(), columns.len(), |row, line| {
        let (top, bottom, down) = rows.at(row);
        let (above, below) = (&values[top * width..], &values[bottom * width..]);
        let between: Vec<f32> = above[..width]
            .iter()
            .zip(below)
            .map(|(&a, &b)| lerp(a, b, down))
            .collect();
        line.extend((0..columns.len()).map(|column| {
            let (left, right, across) = columns.at(column);
            let level = lerp(between[left], between[right], across) * 255.0 + 0.5;
            level.clamp(0.0, 255.0) as u8 // NaN becomes 0
        }));
    })
}

/// The part of a photo where a mask may be: rows from `top` to `bottom`, columns from `left` to
/// `right`, the ends exclusive.
#[derive(Clone, Copy)]
pub struct Window {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

impl Window {
    /// Check that the part lies in a photo of `rows` x `columns` pixels.
    pub fn new(edges: [i32; 4], rows: usize, columns: usize) -> Result<Self, Error> {
        let [top, left, bottom, right] = edges.map(|edge| usize::try_from(edge).ok());
        match (top, left, bottom, right) {
            (Some(top), Some(left), Some(bottom), Some(right))
                if top <= bottom && bottom <= rows && left <= right && right <= columns =>
            {
                Ok(Self {
                    top,
                    bottom,
                    left,
                    right,
                })
            }
            _ => {
                let reason = format!("{edges:?} is no part of {rows} x {columns} pixels");
                Err(Error::value("a window", reason))
            }
        }
    }
}

/// Masks of a photo.
pub struct Masks {
    /// Rows of `columns.div_ceil(8)` bytes for each mask; the first pixel is the highest bit.
    pub bits: Vec<u8>,
    /// Sum of the values in each mask.
    pub sums: Vec<f64>,
}

/// Return where the values of each map reach a threshold, within its window of the photo.
///
/// `maps` has `height` x `width` values for each window.
pub fn resize_masks(
    maps: &[f32],
    [height, width]: [usize; 2],
    rows: Axis<'_>,
    columns: Axis<'_>,
    windows: &[Window],
    threshold: f32,
) -> Masks {
    let stride = columns.len().div_ceil(8);
    let plane = height * width;
    let work = windows.len() * rows.len() * columns.len();
    let parts = parallel::map(windows.len(), work, |index| {
        let map = &maps[index * plane..][..plane];
        one_mask(map, width, rows, columns, windows[index], threshold)
    });
    let mut masks = Masks {
        bits: Vec::with_capacity(windows.len() * rows.len() * stride),
        sums: Vec::with_capacity(windows.len()),
    };
    for (bits, sum) in parts {
        masks.bits.extend(bits);
        masks.sums.push(sum);
    }
    masks
}

fn one_mask(
    map: &[f32],
    width: usize,
    rows: Axis<'_>,
    columns: Axis<'_>,
    window: Window,
    threshold: f32,
) -> (Vec<u8>, f64) {
    let stride = columns.len().div_ceil(8);
    let mut bits = vec![0; rows.len() * stride];
    let mut between = vec![0.0; width];
    let mut sum = 0.0;
    for row in window.top..window.bottom {
        let (top, bottom, down) = rows.at(row);
        let (above, below) = (&map[top * width..], &map[bottom * width..]);
        for (value, (&a, &b)) in between.iter_mut().zip(above.iter().zip(below)) {
            *value = lerp(a, b, down);
        }
        let line = &mut bits[row * stride..][..stride];
        for column in window.left..window.right {
            let (left, right, across) = columns.at(column);
            let value = lerp(between[left], between[right], across);
            if value >= threshold {
                line[column / 8] |= 0x80 >> (column % 8);
                sum += f64::from(value);
            }
        }
    }
    (bits, sum)
}

/// Return the rows that `fill` appends to an empty band, one after another.
fn in_bands<T: Copy + Send>(
    rows: usize,
    columns: usize,
    fill: impl Fn(usize, &mut Vec<T>) + Sync,
) -> Vec<T> {
    let bands = parallel::map(rows.div_ceil(BAND), rows * columns, |band| {
        let own = band * BAND..((band + 1) * BAND).min(rows);
        let mut pixels = Vec::with_capacity(own.len() * columns);
        own.for_each(|row| fill(row, &mut pixels));
        pixels
    });
    bands.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_keep_their_classes(
            bits in prop::collection::vec(any::<u32>(), 60),
            classes in 1usize..5,
        ) {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let shape = [classes, 3, 60 / classes / 3];
            let values = &values[..classes * 3 * shape[2]];
            let scores = Scores::new(values, shape).unwrap();
            let (rows, columns): (Vec<i32>, Vec<i32>) = ((0..3).collect(), (0..shape[2] as i32).collect());
            let zeros = vec![0.0; 60];
            let y = Axis::new(&rows, &rows, &zeros[..3], 3).unwrap();
            let x = Axis::new(&columns, &columns, &zeros[..shape[2]], shape[2]).unwrap();
            prop_assert_eq!(choose_classes(scores, y, x, |id| id), scores.best());
            let alpha = resize_alpha(&values[..3 * shape[2]], shape[2], y, x);
            prop_assert_eq!(alpha.len(), 3 * shape[2]);
        }

        #[test]
        fn masks_have_the_samples_that_reach_the_threshold(
            values in prop::collection::vec(-1.0f32..2.0, 60),
            left in 0i32..=10,
            top in 0i32..=3,
        ) {
            let (rows, columns): (Vec<i32>, Vec<i32>) = ((0..3).collect(), (0..10).collect());
            let zeros = [0.0; 10];
            let y = Axis::new(&rows, &rows, &zeros[..3], 3).unwrap();
            let x = Axis::new(&columns, &columns, &zeros, 10).unwrap();
            let windows = [[0, 0, 3, 10], [top, left, 3, 10]].map(|w| Window::new(w, 3, 10).unwrap());
            let masks = resize_masks(&values, [3, 10], y, x, &windows, 0.5);
            prop_assert_eq!(masks.bits.len(), 2 * 3 * 2);
            let mut sums = [0.0, 0.0];
            for (i, &value) in values.iter().enumerate() {
                let (mask, row, column) = (i / 30, i % 30 / 10, i % 10);
                let bit = masks.bits[(mask * 3 + row) * 2 + column / 8] >> (7 - column % 8) & 1;
                let is_seen = mask == 0 || (row >= top as usize && column >= left as usize);
                prop_assert_eq!(bit == 1, is_seen && value >= 0.5);
                sums[mask] += if bit == 1 { f64::from(value) } else { 0.0 };
            }
            prop_assert_eq!(&masks.sums[..], &sums[..]);
        }

        #[test]
        fn windows_are_checked(edges in prop::array::uniform4(-2i32..9)) {
            let [top, left, bottom, right] = edges;
            let is_part = 0 <= top && top <= bottom && bottom <= 5 && 0 <= left && left <= right && right <= 7;
            prop_assert_eq!(Window::new(edges, 5, 7).is_ok(), is_part);
        }

        #[test]
        fn indices_are_checked(index in any::<i32>(), samples in 0usize..4) {
            let column = [index];
            let made = Axis::new(&column, &column, &[0.5], samples);
            prop_assert_eq!(made.is_ok(), (0..samples as i64).contains(&i64::from(index)));
        }
    }
}

//! Maps at the size of the photo: classes, opacities and masks equal those of a simple loop.

use arbitrary::{Result, Unstructured};
use native::fuzzing::maps::{
    Axis, MAX_CLASSES, Scores, Window, choose_classes, resize_alpha, resize_masks,
};

use crate::values::{floats, no_side, seldom, side};

#[derive(Debug)]
struct Columns {
    low: Vec<i32>,
    high: Vec<i32>,
    weight: Vec<f32>,
}

#[derive(Debug)]
struct Case {
    shape: [usize; 3],
    values: Vec<f32>,
    rows: Columns,
    columns: Columns,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes))
        .map(|case| check(&case))
        .ok();
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let mut shape = [side(u, 5)?, side(u, 12)?, side(u, 12)?];
    let count = shape.iter().product();
    let rows = axis(u, shape[1])?;
    let columns = axis(u, shape[2])?;
    if seldom(u, 12)? {
        shape[u.choose_index(3)?] = no_side(u)?;
    }
    let values = floats(u, count)?;
    Ok(Case {
        shape,
        values,
        rows,
        columns,
    })
}

/// Return mostly valid columns of an axis: any samples, and any weights.
fn axis(u: &mut Unstructured, samples: usize) -> Result<Columns> {
    let length = side(u, 20)?;
    let index = |u: &mut Unstructured| -> Result<i32> {
        if seldom(u, 200)? {
            u.arbitrary()
        } else {
            Ok(u.int_in_range(0..=samples as i32 - 1)?)
        }
    };
    let low = (0..length).map(|_| index(u)).collect::<Result<_>>()?;
    let high = (0..length).map(|_| index(u)).collect::<Result<_>>()?;
    let missing = usize::from(seldom(u, 40)?);
    let weight = floats(u, length - missing)?;
    Ok(Columns { low, high, weight })
}

fn check(case: &Case) {
    let [classes, height, width] = case.shape;
    let is_valid = |axis: &Columns, samples: usize| {
        let inside = |&i: &i32| usize::try_from(i).is_ok_and(|i| i < samples);
        axis.weight.len() == axis.low.len() && axis.low.iter().chain(&axis.high).all(inside)
    };
    let y = Axis::new(&case.rows.low, &case.rows.high, &case.rows.weight, height);
    let x = Axis::new(
        &case.columns.low,
        &case.columns.high,
        &case.columns.weight,
        width,
    );
    assert_eq!(y.is_ok(), is_valid(&case.rows, height));
    assert_eq!(x.is_ok(), is_valid(&case.columns, width));
    let scores = Scores::new(&case.values, case.shape);
    let count = classes
        .checked_mul(height)
        .and_then(|n| n.checked_mul(width));
    let is_whole = count == Some(case.values.len()) && classes <= MAX_CLASSES;
    assert_eq!(scores.is_ok(), is_whole && !case.values.is_empty());
    let (Ok(y), Ok(x), Ok(scores)) = (y, x, scores) else {
        return;
    };
    let (height_of_photo, width_of_photo) = (case.rows.low.len(), case.columns.low.len());
    let all = [0, 0, height_of_photo as i32, width_of_photo as i32];
    let Ok(window) = Window::new(all, height_of_photo, width_of_photo) else {
        panic!("the whole photo is a part of it");
    };
    let windows = vec![window; classes];
    let masks = resize_masks(&case.values, [height, width], y, x, &windows, 0.5);
    let stride = width_of_photo.div_ceil(8);
    for (i, line) in masks.bits.chunks_exact(stride).enumerate() {
        for column in 0..width_of_photo {
            let value = between(case, i / height_of_photo, i % height_of_photo, column);
            assert_eq!(line[column / 8] >> (7 - column % 8) & 1 == 1, value >= 0.5);
        }
    }
    let found = choose_classes(scores, y, x, |id| id);
    let plane = height * width;
    let alpha = resize_alpha(&case.values[..plane], width, y, x);
    let pixels = case.columns.low.len();
    assert_eq!(found.len(), case.rows.low.len() * pixels);
    for (i, (&id, &level)) in found.iter().zip(&alpha).enumerate() {
        assert_eq!(id, best(case, i / pixels, i % pixels));
        let value = between(case, 0, i / pixels, i % pixels) * 255.0 + 0.5;
        let expected = if value.is_nan() { 0.0 } else { value };
        assert_eq!(level, expected.clamp(0.0, 255.0) as u8);
    }
}

fn sample(case: &Case, class: usize, y: i32, x: i32) -> f32 {
    let [_, height, width] = case.shape;
    case.values[(class * height + y as usize) * width + x as usize]
}

fn between(case: &Case, class: usize, row: usize, column: usize) -> f32 {
    let (y, x) = (&case.rows, &case.columns);
    let along = |x: i32| {
        let first = sample(case, class, y.low[row], x);
        first + (sample(case, class, y.high[row], x) - first) * y.weight[row]
    };
    let first = along(x.low[column]);
    first + (along(x.high[column]) - first) * x.weight[column]
}

/// The first class with the best of some scores; NaN is never the best.
fn first_best(scores: impl Iterator<Item = f32>) -> u16 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (class, score) in scores.enumerate() {
        if score > best.0 {
            best = (score, class as u16);
        }
    }
    best.1
}

fn best(case: &Case, row: usize, column: usize) -> u16 {
    let (y, x) = (&case.rows, &case.columns);
    let classes = case.shape[0];
    let mut corners = [y.low[row], y.high[row]].into_iter().flat_map(|y| {
        [x.low[column], x.high[column]]
            .map(|x| first_best((0..classes).map(|class| sample(case, class, y, x))))
    });
    let first = corners.next().unwrap_or(0);
    if corners.all(|corner| corner == first) {
        return first;
    }
    first_best((0..classes).map(|class| between(case, class, row, column)))
}

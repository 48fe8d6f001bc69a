//! Normalization: every value equals the result of computing it alone.

use arbitrary::{Result, Unstructured};
use native::fuzzing::images::normalize;

use crate::values::{bits, float, pixels};

#[derive(Debug)]
struct Case {
    plane: Vec<u8>,
    mean: f32,
    std: f32,
    /// Length of the output, which may differ from that of the input.
    places: usize,
}

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes))
        .map(|case| check(&case))
        .ok();
}

fn case(u: &mut Unstructured) -> Result<Case> {
    let count = u.int_in_range(0..=300)?;
    let places = if u.arbitrary()? {
        count
    } else {
        u.int_in_range(0..=300)?
    };
    let (mean, std) = (number(u)?, number(u)?);
    let plane = pixels(u, count)?;
    Ok(Case {
        plane,
        mean,
        std,
        places,
    })
}

fn number(u: &mut Unstructured) -> Result<f32> {
    if u.arbitrary()? {
        float(u)
    } else {
        Ok(f32::from_bits(u.arbitrary()?))
    }
}

fn check(case: &Case) {
    const UNTOUCHED: f32 = 123.0;
    let mut out = vec![UNTOUCHED; case.places];
    normalize(&case.plane, case.mean, case.std, &mut out);
    let done = case.plane.len().min(case.places);
    let one = |&byte: &u8| (f32::from(byte) - case.mean) / case.std;
    let expected: Vec<f32> = case.plane[..done].iter().map(one).collect();
    assert_eq!(bits(&out[..done]), bits(&expected));
    assert!(
        out[done..]
            .iter()
            .all(|value| value.to_bits() == UNTOUCHED.to_bits())
    );
}

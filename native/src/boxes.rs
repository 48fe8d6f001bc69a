//! Boxes in xyxy format, and their overlap.

/// Left, top, right and bottom.
pub type Xyxy = [f32; 4];

/// Return the area; 0 for an inverted box.
pub fn area(b: &Xyxy) -> f32 {
    (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0)
}

/// Return the area of the intersection of two boxes.
pub fn intersection(a: &Xyxy, b: &Xyxy) -> f32 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    width.max(0.0) * height.max(0.0)
}

/// Return the intersection over union; 0 if the union is empty or a coordinate is NaN.
pub fn iou(a: &Xyxy, b: &Xyxy) -> f32 {
    if a.iter().chain(b).any(|value| value.is_nan()) {
        return 0.0; // min and max would ignore it
    }
    let shared = intersection(a, b);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// Return whether all coordinates are finite.
pub fn is_finite(b: &Xyxy) -> bool {
    b.iter().all(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn iou_is_symmetric_and_within_bounds(a: [i16; 4], b: [i16; 4]) {
            let (a, b) = (a.map(f32::from), b.map(f32::from));
            prop_assert_eq!(iou(&a, &b).to_bits(), iou(&b, &a).to_bits());
            prop_assert!((0.0..=1.0).contains(&iou(&a, &b)));
        }
    }

    #[test]
    fn disjoint_and_degenerate_boxes_do_not_overlap() {
        let unit = [0.0, 0.0, 1.0, 1.0];
        for other in [[2.0, 2.0, 3.0, 3.0], [0.5; 4], [1.0, 1.0, 0.0, 0.0]] {
            assert_eq!(iou(&unit, &other).to_bits(), 0);
        }
        assert_eq!(iou(&[0.0; 4], &[0.0; 4]).to_bits(), 0);
    }
}

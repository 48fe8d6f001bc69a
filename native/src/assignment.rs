//! The linear sum assignment problem.

use crate::error::Error;

const NONE: usize = usize::MAX;

/// Return the column of each row, so that the total cost is least.
///
/// `costs` has `height` rows of `width` columns, all finite, and at least as many columns as rows.
/// The algorithm finds shortest augmenting paths (Jonker and Volgenant 1987, in the form of Crouse
/// 2016), in the order and precision of `ops/assignment.py`.
pub fn solve(costs: &[f64], height: usize, width: usize) -> Result<Vec<usize>, Error> {
    if height > width {
        let expected = "at least as many columns as rows";
        return Err(Error::shape(
            "costs",
            expected,
            format!("({height}, {width})"),
        ));
    }
    if costs.iter().any(|cost| !cost.is_finite()) {
        return Err(Error::value("costs must be finite", "another value"));
    }
    let (mut row_price, mut column_price) = (vec![0.0; height], vec![0.0; width]);
    let (mut column_of, mut row_of) = (vec![NONE; height], vec![NONE; width]);
    let (mut shortest, mut parent) = (vec![f64::INFINITY; width], vec![NONE; width]);
    let mut reached = vec![false; width];
    for start in 0..height {
        shortest.fill(f64::INFINITY);
        reached.fill(false);
        let mut rows = vec![start];
        let (mut length, mut row) = (0.0, start);
        let mut end = loop {
            let (own, price) = (&costs[row * width..][..width], row_price[row]);
            let (mut end, mut least) = (NONE, f64::INFINITY);
            for column in 0..width {
                if reached[column] {
                    continue;
                }
                let path = length + own[column] - price - column_price[column];
                if path < shortest[column] {
                    (shortest[column], parent[column]) = (path, row);
                }
                if shortest[column] < least {
                    (end, least) = (column, shortest[column]);
                }
            }
            if end == NONE {
                return Err(Error::value("costs are too large to add", "an overflow"));
            }
            length = least;
            reached[end] = true;
            if row_of[end] == NONE {
                break end;
            }
            row = row_of[end];
            rows.push(row);
        };
        row_price[start] += length;
        for &row in &rows[1..] {
            row_price[row] += length - shortest[column_of[row]];
        }
        for column in 0..width {
            if reached[column] {
                column_price[column] -= length - shortest[column];
            }
        }
        loop {
            // reverse the path
            let row = parent[end];
            row_of[end] = row;
            (column_of[row], end) = (end, column_of[row]);
            if row == start {
                break;
            }
        }
    }
    Ok(column_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Return the least total over all assignments of the rows from `row` on.
    fn least(costs: &[f64], width: usize, row: usize, taken: u32) -> f64 {
        if costs.len() <= row * width {
            return 0.0;
        }
        let own = &costs[row * width..][..width];
        let free = (0..width).filter(|column| taken >> column & 1 == 0);
        free.map(|column| own[column] + least(costs, width, row + 1, taken | 1 << column))
            .fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn is_optimal(height in 0usize..5, more in 0usize..3, values in prop::collection::vec(-9i8..9, 35)) {
            let width = height + more;
            let costs: Vec<f64> = values[..height * width].iter().map(|&v| f64::from(v)).collect();
            let found = solve(&costs, height, width).unwrap();
            let total: f64 = found.iter().enumerate().map(|(r, &c)| costs[r * width + c]).sum();
            let mut columns = found.clone();
            columns.sort_unstable();
            columns.dedup();
            prop_assert_eq!(columns.len(), height);
            prop_assert!((total - least(&costs, width, 0, 0)).abs() < 1e-9);
        }

        #[test]
        fn any_bits_are_survived(bits in prop::collection::vec(any::<u64>(), 12)) {
            let costs: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
            let _ = solve(&costs, 3, 4);
        }
    }

    #[test]
    fn wrong_costs_are_errors() {
        assert!(solve(&[0.0, 1.0], 2, 1).is_err());
        assert!(solve(&[f64::NAN], 1, 1).is_err());
    }
}

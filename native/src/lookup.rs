//! Functions of one byte, given by their values.

use crate::simd;

/// The values of a function of one byte.
pub type Table = [u8; 256];

/// Write `table[source[i]]` into `out[i]`, as far as both slices reach.
pub fn look_up(table: &Table, source: &[u8], out: &mut [u8]) {
    let done = simd::look_up(table, source, out);
    for (&place, out) in source.iter().zip(out).skip(done) {
        *out = table[usize::from(place)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_byte_is_looked_up(
            table in prop::collection::vec(any::<u8>(), 256),
            source in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let table: Table = table.try_into().unwrap();
            let mut out = vec![0; source.len()];
            look_up(&table, &source, &mut out);
            let expected: Vec<u8> = source.iter().map(|&i| table[usize::from(i)]).collect();
            prop_assert_eq!(out, expected);
        }
    }
}

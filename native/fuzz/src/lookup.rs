//! Look-ups in a table: each byte is looked up, as far as both slices reach, and no other is written.

use arbitrary::{Result, Unstructured};
use native::fuzzing::lookup::{Table, look_up};

/// Run the target.
pub fn run(bytes: &[u8]) {
    case(&mut Unstructured::new(bytes)).ok();
}

fn case(u: &mut Unstructured) -> Result<()> {
    let (start, step): (u8, u8) = (u.arbitrary()?, u.arbitrary()?);
    let table: Table = std::array::from_fn(|i| (i as u8).wrapping_mul(step).wrapping_add(start));
    let room = u.int_in_range(0..=200)?;
    let source = u.bytes(u.len().min(200))?;
    let mut out = vec![7; room];
    look_up(&table, source, &mut out);
    let expected = source.iter().map(|&place| table[usize::from(place)]);
    let expected: Vec<u8> = expected.chain(std::iter::repeat(7)).take(room).collect();
    assert_eq!(out, expected);
    Ok(())
}

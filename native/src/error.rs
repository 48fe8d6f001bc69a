//! The one error of the cores: an argument that does not fit, and how many values one should have.

use std::fmt;

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An array of the wrong rank, shape, dtype or count.
    Shape {
        what: &'static str,
        expected: String,
        got: String,
    },
    /// A number or a word outside its domain.
    Value { what: &'static str, got: String },
}

impl Error {
    /// A shape error of `what`.
    pub fn shape(what: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        let (expected, got) = (expected.into(), got.into());
        Self::Shape {
            what,
            expected,
            got,
        }
    }

    /// A value error of `what`.
    pub fn value(what: &'static str, got: impl fmt::Display) -> Self {
        let got = got.to_string();
        Self::Value { what, got }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape {
                what,
                expected,
                got,
            } => write!(f, "{what}: expected {expected}, got {got}"),
            Self::Value { what, got } => write!(f, "{what}, got {got}"),
        }
    }
}

impl std::error::Error for Error {}

/// The product of sizes; none where no memory has place for so much, as nothing fits that.
pub fn product<const N: usize>(sizes: [usize; N]) -> Option<usize> {
    sizes
        .iter()
        .try_fold(1, |so_far: usize, &size| so_far.checked_mul(size))
}

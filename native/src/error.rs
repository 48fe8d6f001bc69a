//! The error type of all kernels, and a helper to check sizes.

use std::fmt;

/// An invalid argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An array of the wrong rank, shape, dtype or count.
    Shape {
        what: &'static str,
        expected: String,
        got: String,
    },
    /// A number or string outside its domain.
    Value { what: &'static str, got: String },
}

impl Error {
    /// Return a shape error about the argument `what`.
    pub fn shape(what: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        let (expected, got) = (expected.into(), got.into());
        Self::Shape {
            what,
            expected,
            got,
        }
    }

    /// Return a value error with the message `what`.
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

/// Return the product of sizes, or `None` on overflow (no array has so many values).
pub fn product<const N: usize>(sizes: [usize; N]) -> Option<usize> {
    sizes
        .iter()
        .try_fold(1, |so_far: usize, &size| so_far.checked_mul(size))
}

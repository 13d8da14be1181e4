//! Errors with what caused them, for lines that people read.

use std::{error::Error, iter};

/// The error and its causes, outermost first, in one line.
#[must_use]
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let all = iter::successors(Some(error), |&cause| cause.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

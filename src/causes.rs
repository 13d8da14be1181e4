//! Errors with what caused them, for lines that people read.

use std::{error::Error, iter};

use ct_log::tls::certificate_refused;

/// The error and its causes, outermost first, in one line.
#[must_use]
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let all = iter::successors(Some(error), |&cause| cause.source());
    let all = all.map(|cause| certificate_refused(cause).unwrap_or_else(|| cause.to_string()));
    all.collect::<Vec<_>>().join(": ")
}

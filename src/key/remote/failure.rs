//! What a key's service said when it failed, in words for the operator.

use std::{error::Error, fmt, iter};

use super::{RemoteError, Trouble};

/// Longest text of a stranger in an error.
const LONGEST: usize = 600;

/// A request to a key's service that failed.
#[derive(Debug)]
pub struct Failure {
    trouble: Trouble,
    said: String,
}

impl Failure {
    /// `said` is shortened if it is long.
    #[must_use]
    pub fn new(trouble: Trouble, mut said: String) -> Self {
        let end = (0..=LONGEST).rev().find(|end| said.is_char_boundary(*end));
        said.truncate(end.unwrap_or_default());
        Self { trouble, said }
    }

    /// For an error with all its causes, since those of clients say little by themselves; some repeat their causes, though.
    #[must_use]
    pub fn with_causes(trouble: Trouble, error: &dyn Error) -> Self {
        let causes = iter::successors(Some(error), |&cause| cause.source());
        let said = causes.fold(String::new(), |said, cause| {
            let cause = cause.to_string();
            match said.as_str() {
                "" => cause,
                _ if said.contains(&cause) => said,
                _ => format!("{said}: {cause}"),
            }
        });
        Self::new(trouble, said)
    }

    /// Whether it is worth another attempt.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.trouble != Trouble::Refused
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.trouble, failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.said)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Says what its cause says, as some do.
    #[derive(Debug, thiserror::Error)]
    #[error("not sent: {0}")]
    struct Repeating(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("failed")]
    struct Outer(#[source] Repeating);

    #[test]
    fn every_cause_is_said_once() {
        let error = Outer(Repeating(io::Error::other("no route")));
        let failure = Failure::with_causes(Trouble::Passing, &error);
        assert_eq!(failure.to_string(), "failed: not sent: no route");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let failure = Failure::new(Trouble::Passing, format!("x{}", "ä".repeat(LONGEST)));
        assert_eq!(failure.to_string().len(), LONGEST - 1);
        assert_eq!(
            Failure::new(Trouble::Passing, "short".to_owned()).to_string(),
            "short"
        );
    }
}

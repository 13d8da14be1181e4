//! What is wrong in a configuration file: every problem at once, each with its place and a way out.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The least Jaro-Winkler similarity at which a known word is offered for a misspelt one.
const SIMILAR: f64 = 0.75;

/// One thing wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: PathBuf,
    line: Option<u64>,
    key: String,
    what: String,
    suggestion: String,
}

impl Problem {
    /// The file as the operator named it.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, from 1; absent where the file as a whole is meant.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        self.line
    }

    /// The keys that lead to the value, such as `oidc-issuers[https://idp.example].type`; empty for the whole file.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong, without a full stop.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it; empty where `what` already says so.
    #[must_use]
    pub fn suggestion(&self) -> &str {
        &self.suggestion
    }
}

/// `file:line: key: what. suggestion`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.what)?;
        if !self.suggestion.is_empty() {
            write!(f, ". {}", self.suggestion)?;
        }
        Ok(())
    }
}

/// Every problem of one file, at least one, in the order of its lines. `Display` prints one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// The problems, in the order of their lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: Option<u64>,
    key: String,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn whole_file() -> Self {
        Self {
            line: None,
            key: String::new(),
        }
    }

    /// The same keys on another line.
    pub(crate) fn on_line(&self, line: u64) -> Self {
        Self {
            line: Some(line).filter(|line| *line > 0),
            key: self.key.clone(),
        }
    }

    /// The value under `key`, on `line`.
    pub(crate) fn child(&self, key: &str, line: u64) -> Self {
        let plain = key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let key = match (plain, self.key.is_empty()) {
            (true, true) => key.to_owned(),
            (true, false) => format!("{}.{key}", self.key),
            (false, _) => format!("{}[{key}]", self.key),
        };
        Self { line: None, key }.on_line(line)
    }
}

/// The problems found so far in one file.
#[derive(Debug)]
pub(crate) struct Problems {
    file: PathBuf,
    found: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            found: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Something for which the file is refused.
    pub(crate) fn report(&mut self, place: &Place, what: impl Into<String>, suggestion: impl Into<String>) {
        let problem = self.problem(place, what.into(), suggestion.into());
        self.found.push(problem);
    }

    /// Something that works and that the operator may not have meant.
    pub(crate) fn warn(&mut self, place: &Place, what: impl Into<String>, suggestion: impl Into<String>) {
        let problem = self.problem(place, what.into(), suggestion.into());
        self.warnings.push(problem);
    }

    /// A warning that holds for many places in the same words: only the first of them is mentioned.
    pub(crate) fn warn_once(&mut self, place: &Place, what: &str, suggestion: &str) {
        if !self.warnings.iter().any(|warning| warning.what == what) {
            self.warn(place, what, suggestion);
        }
    }

    fn problem(&self, place: &Place, what: String, suggestion: String) -> Problem {
        Problem {
            file: self.file.clone(),
            line: place.line,
            key: place.key.clone(),
            what,
            suggestion,
        }
    }

    /// Whether nothing was reported so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The warnings so far, in the order of their lines.
    pub(crate) fn take_warnings(&mut self) -> Vec<Problem> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort_by_key(|problem| problem.line);
        warnings
    }

    /// `value` if nothing was reported; otherwise everything that was.
    pub(crate) fn into_result<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found.sort_by_key(|problem| problem.line);
                Err(ConfigErrors(self.found))
            }
        }
    }
}

/// "did you mean …?" if one of `known` is close to `word`, otherwise the list of what is known.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    let closest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    match closest {
        Some((_, candidate)) => format!("Did you mean `{candidate}`?"),
        None => format!("Known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_problem_in_the_order_of_the_file() {
        let mut problems = Problems::new(Path::new("mayfly.yaml"));
        let ca = Place::whole_file().child("ca", 9);
        problems.report(&ca.child("key", 12), "does not exist", "Run `mayfly init`");
        problems.report(&Place::whole_file().child("listen", 2), "is not an address", "");
        problems.report(&Place::whole_file(), "is empty", "");
        assert_eq!(
            problems.into_result(Some(())).unwrap_err().to_string(),
            "mayfly.yaml: is empty\n\
             mayfly.yaml:2: listen: is not an address\n\
             mayfly.yaml:12: ca.key: does not exist. Run `mayfly init`"
        );
    }

    #[test]
    fn keys_that_are_urls_stand_in_brackets() {
        let place = Place::whole_file()
            .child("oidc-issuers", 1)
            .child("https://idp.example", 2);
        assert_eq!(
            place.child("type", 3).key,
            "oidc-issuers[https://idp.example].type"
        );
    }

    #[test]
    fn a_misspelt_word_gets_the_closest_known_one() {
        let known = ["client-id", "ci-provider", "type"];
        assert_eq!(did_you_mean("clientid", &known), "Did you mean `client-id`?");
        assert_eq!(
            did_you_mean("xyzzy", &known),
            "Known here: client-id, ci-provider, type"
        );
    }
}

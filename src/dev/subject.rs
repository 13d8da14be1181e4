//! Whom a development token may be about.

use std::str::FromStr;

/// RFC 5321 section 4.5.3.1.3: a path is at most 256 octets, two of which are its angle brackets.
const MAX_EMAIL_BYTES: usize = 254;

/// GitHub allows 39 characters for an owner and 100 for a repository name.
const MAX_OWNER_BYTES: usize = 39;
const MAX_REPOSITORY_BYTES: usize = 100;

/// Why a text names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Not `local@domain`.
    #[error("this is not an email address: write it as you@example.com, in ASCII, without spaces")]
    Email,
    /// Not `owner/repository`.
    #[error("this is not a repository: write it as owner/repository")]
    Repository,
}

/// An email address in ASCII: what an rfc822Name can hold (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The address as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let (local, domain) = text.split_once('@').ok_or(SubjectError::Email)?;
        let plain = text.len() <= MAX_EMAIL_BYTES && text.chars().all(|c| c.is_ascii_graphic());
        if !plain || local.is_empty() || domain.is_empty() || domain.contains('@') {
            return Err(SubjectError::Email);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A GitHub repository, `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// The account that owns it.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// `owner/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

impl FromStr for Repository {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let (owner, name) = text.split_once('/').ok_or(SubjectError::Repository)?;
        if !is_name(owner, MAX_OWNER_BYTES) || !is_name(name, MAX_REPOSITORY_BYTES) {
            return Err(SubjectError::Repository);
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }
}

fn is_name(text: &str, max_bytes: usize) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= max_bytes && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        for good in ["a@b", "you+tag@example.com", "o'neill@example.com"] {
            assert_eq!(good.parse::<EmailAddress>().unwrap().as_str(), good);
        }
        let long = format!("{}@example.com", "a".repeat(MAX_EMAIL_BYTES));
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "é@b", &long] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(SubjectError::Email), "{bad}");
        }
    }

    #[test]
    fn repositories() {
        let good: Repository = "octo-org/octo.repo_1".parse().unwrap();
        assert_eq!(
            (good.owner(), good.full_name().as_str()),
            ("octo-org", "octo-org/octo.repo_1")
        );
        for bad in ["", "a", "a/", "/b", "a/b/c", "a b/c", "a/b:c", "a/b\n"] {
            assert_eq!(bad.parse::<Repository>(), Err(SubjectError::Repository), "{bad}");
        }
    }
}

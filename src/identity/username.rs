//! `type: username`: `sub` and the subject domain, as `name!domain`.

use super::{
    IdentityError, Names, SubjectName,
    email::{is_domain, resembles_address},
    subject_domain::{SubjectDomainError, issuer_host, same_site},
};
use crate::extension::ExtensionValues;

/// Names of one domain.
#[derive(Clone, Debug)]
pub struct UsernameRule {
    domain: String,
}

impl UsernameRule {
    /// The rule for `domain`, a host name without a scheme, of an issuer whose host has the same last two labels.
    ///
    /// # Errors
    /// `domain` is not a host name, or belongs to somebody else.
    pub fn new(domain: &str, issuer_url: &str) -> Result<Self, SubjectDomainError> {
        if domain.contains("://") {
            return Err(SubjectDomainError::SchemeNotAllowed);
        }
        let issuer = issuer_host(issuer_url)?;
        if domain != issuer && !is_domain(domain) {
            return Err(SubjectDomainError::NotHostName);
        }
        if !same_site(domain, &issuer) {
            return Err(SubjectDomainError::OtherDomain);
        }
        Ok(Self {
            domain: domain.to_owned(),
        })
    }

    pub(super) fn subject_domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn apply(&self, issuer: &str, subject: &str) -> Result<Names, IdentityError> {
        if subject.contains('!') {
            return Err(IdentityError::SubjectInvalid(
                "contains `!`, which separates a username from its domain: use another username",
            ));
        }
        if resembles_address(subject) {
            return Err(IdentityError::SubjectInvalid(
                "is an email address, but this issuer vouches for usernames: use a plain username",
            ));
        }
        if subject.chars().any(hides) {
            return Err(IdentityError::SubjectInvalid(
                "contains an invisible character, or one that looks like a space: use another username",
            ));
        }
        let name = SubjectName::Username(format!("{subject}!{}", self.domain));
        Ok(Names::new(name, ExtensionValues::new(issuer, subject)))
    }
}

/// Whether a character makes a name look like another one: white space other than a plain space, or
/// a character that shows nothing.
fn hides(character: char) -> bool {
    let other_space = character.is_whitespace() && character != ' ';
    other_space || is_invisible(character)
}

/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt, Unicode 17), and what is
/// drawn as nothing beside them: U+2800, the Braille pattern without dots, and U+FFF9 to U+FFFB,
/// the marks round annotations.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_others_are_refused() {
        let rule = UsernameRule::new("example.com", "https://accounts.example.com").unwrap();
        let apply = |subject: &str| rule.apply("https://accounts.example.com", subject);
        for character in [
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{2060}',
            '\u{feff}',
            '\u{ad}',
            '\u{34f}',
            '\u{180e}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{fe0f}',
            '\u{e0061}',
            '\u{e0100}',
            '\u{2800}',
            '\u{fff9}',
            '\u{a0}',
            '\u{1680}',
            '\u{2003}',
            '\u{2009}',
            '\u{202f}',
            '\u{205f}',
            '\u{3000}',
            '\u{2028}',
            '\u{85}',
        ] {
            for subject in [format!("al{character}ice"), format!("alice{character}")] {
                let refused = apply(&subject).map_err(|error| error.reason());
                assert_eq!(refused, Err("subject_invalid"), "U+{:04X}", u32::from(character));
            }
        }
        for subject in [
            "alice",
            "alice b",
            " alice",
            "al\u{ed}ce-\u{65e5}\u{672c}",
            "e\u{301}",
            "\u{1f680}",
            "\u{ff01}",
        ] {
            assert!(apply(subject).is_ok(), "{subject:?}");
        }
    }
}

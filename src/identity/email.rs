//! `type: email`, and which addresses a certificate may carry.

use serde_json::{Map, Value};
use url::Host;

use super::{ClaimPath, IdentityError, Names, SubjectName};
use crate::extension::ExtensionValues;

/// RFC 5321 section 4.5.3.1.3 allows a path of 256 octets, two of them angle brackets.
const MAX_ADDRESS_BYTES: usize = 254;
/// RFC 5321 section 4.5.3.1.1.
const MAX_LOCAL_PART_BYTES: usize = 64;
/// RFC 1035 section 2.3.4.
const MAX_LABEL_BYTES: usize = 63;

/// Whether the issuer's verdict on the address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// `email_verified` must be true.
    Required,
    /// The operator trusts every address that this issuer gives (`skip-email-verification`).
    Skipped,
}

/// The address in `email`.
#[derive(Clone, Debug)]
pub struct EmailRule {
    verification: Verification,
    issuer_claim: Option<ClaimPath>,
}

impl EmailRule {
    /// The rule of an issuer. `issuer_claim` is where a federating issuer (Dex) names the one that it asked; it goes
    /// into the certificate in place of the token's issuer.
    #[must_use]
    pub fn new(verification: Verification, issuer_claim: Option<ClaimPath>) -> Self {
        Self {
            verification,
            issuer_claim,
        }
    }

    pub(super) fn verified() -> Self {
        Self::new(Verification::Required, None)
    }

    pub(super) fn skips_verification(&self) -> bool {
        self.verification == Verification::Skipped
    }

    pub(super) fn reads(&self, claim: &str) -> bool {
        let issuer = self.issuer_claim.as_ref().and_then(ClaimPath::claim);
        ["email", "email_verified"].contains(&claim) || issuer == Some(claim)
    }

    pub(super) fn apply(
        &self,
        issuer: &str,
        subject: &str,
        claims: &Map<String, Value>,
    ) -> Result<Names, IdentityError> {
        let address = address(claims, self.verification)?;
        let issuer = match &self.issuer_claim {
            None => issuer,
            Some(path) => path.text(claims)?,
        };
        let name = SubjectName::Email(address.to_owned());
        Ok(Names::new(name, ExtensionValues::new(issuer, subject)))
    }
}

fn address(claims: &Map<String, Value>, verification: Verification) -> Result<&str, IdentityError> {
    let address = match claims.get("email") {
        None => return Err(IdentityError::EmailMissing),
        Some(Value::String(address)) if address.is_empty() => return Err(IdentityError::EmailMissing),
        Some(Value::String(address)) => address,
        Some(_) => return Err(IdentityError::EmailInvalid),
    };
    let verified = is_verified(claims.get("email_verified"))?;
    if !verified && verification == Verification::Required {
        return Err(IdentityError::EmailNotVerified);
    }
    if is_address(address) {
        Ok(address)
    } else {
        Err(IdentityError::EmailInvalid)
    }
}

/// Some issuers send the boolean as a string; Fulcio takes exactly these spellings. Anything else is refused even
/// where the verdict does not count, as Fulcio does: an issuer that sends it is not understood.
pub(super) fn is_verified(claim: Option<&Value>) -> Result<bool, IdentityError> {
    match claim {
        None => Ok(false),
        Some(Value::Bool(verified)) => Ok(*verified),
        Some(Value::String(text)) if matches!(text.as_str(), "true" | "True") => Ok(true),
        Some(Value::String(text)) if matches!(text.as_str(), "false" | "False") => Ok(false),
        Some(_) => Err(IdentityError::claim_invalid(
            "email_verified",
            "is not true or false",
        )),
    }
}

/// An address in the plain form `dot-atom@domain` (RFC 5322 section 3.4.1) in ASCII: no quotes, comments, address
/// literals or single-label domains, and internationalised domains only as valid A-labels (RFC 5890).
fn is_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    address.len() <= MAX_ADDRESS_BYTES && is_local_part(local) && is_domain(domain)
}

fn is_local_part(local: &str) -> bool {
    local.len() <= MAX_LOCAL_PART_BYTES
        && local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte))
}

/// `atext` (RFC 5322 section 3.2.3).
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

pub(super) fn is_domain(domain: &str) -> bool {
    domain.contains('.') && domain.split('.').all(is_label) && is_host_name(domain)
}

/// A letter-digit-hyphen label (RFC 5890 section 2.3.1).
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty()
        && label.len() <= MAX_LABEL_BYTES
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Not an IP address, and every `xn--` label decodes to what would be encoded to it again.
fn is_host_name(domain: &str) -> bool {
    matches!(Host::parse(domain), Ok(Host::Domain(name)) if name.eq_ignore_ascii_case(domain))
}

/// Whether a name looks like an address to anybody: wider than what a certificate may carry.
pub(super) fn resembles_address(name: &str) -> bool {
    name.rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_accepted() {
        for address in [
            "alice@example.com",
            "a.b+c@sub.example.co.uk",
            "o'brien@example.com",
            "Alice@Example.COM",
            "x@xn--bcher-kva.example",
            "x@1.example",
        ] {
            assert!(is_address(address), "{address}");
        }
        let longest = format!("{}@{}.example", "a".repeat(64), vec!["b".repeat(60); 3].join("."));
        assert_eq!(longest.len(), 255);
        assert!(!is_address(&longest));
        assert!(is_address(&longest.replacen('b', "", 1)));
    }

    #[test]
    fn everything_else_is_not() {
        for address in [
            "alice",
            "@example.com",
            "alice@",
            "alice@localhost",
            "a@b@example.com",
            "\"a b\"@example.com",
            "alice(comment)@example.com",
            "Alice <alice@example.com>",
            "alice@[192.0.2.1]",
            "alice@192.0.2.1",
            "alice@1.2",
            ".alice@example.com",
            "alice.@example.com",
            "a..b@example.com",
            "alice@.example.com",
            "alice@example..com",
            "alice@example.com.",
            "alice@-a.example",
            "alice@a-.example",
            "alice@a_b.example",
            "al\u{ed}ce@example.com",
            "alice@ex\u{e4}mple.com",
            "alice\u{202e}@example.com",
            "alice@example.com\r\nBcc: x",
            "alice@example.com\0",
            "alice@example.com ",
            " alice@example.com",
            "=?utf-8?q?alice?=@example.com ",
            "alice@xn--example-.com",
            "alice@xn--a.com",
        ] {
            assert!(!is_address(address), "{address:?}");
        }
        assert!(!is_address(&format!("{}@example.com", "a".repeat(65))));
        assert!(!is_address(&format!("a@{}.example", "b".repeat(64))));
    }
}

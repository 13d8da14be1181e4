//! `type: chainguard-identity`: the issuer's URL, then `sub`.

use serde_json::{Map, Value};

use super::{IdentityError, Names, SubjectName, email, uri};
use crate::extension::ExtensionValues;

/// The claims that are read.
pub(super) const CLAIMS: [&str; 4] = ["email", "email_verified", "act", "internal"];

/// As Fulcio, takes no token with an address that is not verified: clients sign the address where there is one.
pub(super) fn apply(
    issuer: &str,
    subject: &str,
    claims: &Map<String, Value>,
) -> Result<Names, IdentityError> {
    let has_email = match claims.get("email") {
        None | Some(Value::Null) => false,
        Some(Value::String(email)) => !email.is_empty(),
        Some(_) => return Err(IdentityError::EmailInvalid),
    };
    if has_email && !email::is_verified(claims.get("email_verified"))? {
        return Err(IdentityError::EmailNotVerified);
    }
    check_actor(claims.get("act"))?;
    check_internal(claims.get("internal"))?;
    if subject.starts_with('/') || subject.contains("//") {
        return Err(IdentityError::SubjectInvalid(
            "begins with a slash or has two in a row, of which its certificate's name would show one or none: the name \
             would be another subject's",
        ));
    }
    let uri = uri::joined(&format!("{issuer}/{subject}")).map_err(IdentityError::SanInvalid)?;
    uri::parse(&uri).map_err(IdentityError::SanInvalid)?;
    Ok(Names::new(
        SubjectName::Uri(uri),
        ExtensionValues::new(issuer, subject),
    ))
}

/// `act` (RFC 8693 section 4.1) is an object of strings, if it is there.
fn check_actor(value: Option<&Value>) -> Result<(), IdentityError> {
    let is_text = |value: &Value| value.is_string() || value.is_null();
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(parts)) if parts.values().all(is_text) => Ok(()),
        Some(_) => Err(IdentityError::claim_invalid("act", "is not an object of strings")),
    }
}

/// Of `internal`, an object, Fulcio reads one string.
fn check_internal(value: Option<&Value>) -> Result<(), IdentityError> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(parts))
            if parts
                .get("service-principal")
                .is_none_or(|part| part.is_string() || part.is_null()) =>
        {
            Ok(())
        }
        Some(_) => Err(IdentityError::claim_invalid(
            "internal",
            "is not an object that Chainguard makes",
        )),
    }
}

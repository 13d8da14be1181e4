//! `type: chainguard-identity`: the issuer's URL, then `sub`.

use super::{IdentityError, Names, SubjectName, uri};
use crate::extension::ExtensionValues;

pub(super) fn apply(issuer: &str, subject: &str) -> Result<Names, IdentityError> {
    let uri = uri::joined(&format!("{issuer}/{subject}")).map_err(IdentityError::SanInvalid)?;
    uri::parse(&uri).map_err(IdentityError::SanInvalid)?;
    Ok(Names::new(
        SubjectName::Uri(uri),
        ExtensionValues::new(issuer, subject),
    ))
}

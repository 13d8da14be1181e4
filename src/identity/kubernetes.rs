//! `type: kubernetes`: the service account that a cluster's token names.

use serde_json::{Map, Value};

use super::{ClaimPath, IdentityError, Names, SubjectName};
use crate::extension::ExtensionValues;

/// The one claim that is read.
pub(super) const CLAIM: &str = "kubernetes.io";

/// Longest DNS subdomain (RFC 1123), which names of namespaces and service accounts are.
const MAX_NAME_BYTES: usize = 253;

pub(super) fn apply(
    issuer: &str,
    subject: &str,
    claims: &Map<String, Value>,
) -> Result<Names, IdentityError> {
    let namespace = name(claims, &[CLAIM, "namespace"])?;
    let account = name(claims, &[CLAIM, "serviceaccount", "name"])?;
    let uri = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}");
    Ok(Names::new(
        SubjectName::Uri(uri),
        ExtensionValues::new(issuer, subject),
    ))
}

/// A name that is one segment of a path, whoever reads it: Kubernetes itself gives out no others.
fn name<'a>(claims: &'a Map<String, Value>, path: &[&str]) -> Result<&'a str, IdentityError> {
    let path = ClaimPath::of_names(path);
    let name = path.text(claims)?;
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_name = name.len() <= MAX_NAME_BYTES
        && name.bytes().all(allowed)
        && ends(name.bytes().next())
        && ends(name.bytes().next_back());
    if is_name {
        Ok(name)
    } else {
        Err(IdentityError::claim_invalid(
            path.as_str(),
            "is not a Kubernetes name",
        ))
    }
}

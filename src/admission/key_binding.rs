//! `key-binding:` — a token that names the key that it is for is of no use to whoever steals it.

use std::fmt;

use serde_json::{Map, Value};

/// Stands in an audience before the key's thumbprint: `sigstore?jkt=…`.
const AUDIENCE_SUFFIX: &str = "?jkt=";

/// base64url without padding of 32 bytes.
const THUMBPRINT_CHARS: usize = 43;

/// Where a token names its key, always by the key's JWK thumbprint: SHA-256, base64url (RFC 7638).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyBinding {
    /// `cnf.jkt` (RFC 7800 section 3.1, RFC 9449 section 6).
    Confirmation,
    /// `nonce`, for identity providers that repeat what the login asked for.
    Nonce,
    /// `aud`, for identity providers that let the caller choose it: the configured audience, `?jkt=`, thumbprint.
    Audience,
}

impl KeyBinding {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Confirmation, Self::Nonce, Self::Audience];

    /// The name in the issuer file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmation => "cnf",
            Self::Nonce => "nonce",
            Self::Audience => "audience",
        }
    }

    /// The claim that names the key.
    pub(super) fn claim(self) -> &'static str {
        match self {
            Self::Confirmation => "cnf",
            Self::Nonce => "nonce",
            Self::Audience => "aud",
        }
    }

    /// The key that a token for `audience` is for.
    pub(super) fn thumbprint(self, claims: &Map<String, Value>, audience: &str) -> Option<KeyThumbprint> {
        let value = claims.get(self.claim())?;
        match self {
            Self::Confirmation => value.get("jkt")?.as_str().and_then(KeyThumbprint::parse),
            Self::Nonce => value.as_str().and_then(KeyThumbprint::parse),
            Self::Audience => match value {
                Value::String(given) => in_audience(given, audience),
                Value::Array(given) => given
                    .iter()
                    .filter_map(Value::as_str)
                    .find_map(|given| in_audience(given, audience)),
                _ => None,
            },
        }
    }
}

/// The thumbprint in one `aud` value, if that is for `audience`.
pub(crate) fn in_audience(given: &str, audience: &str) -> Option<KeyThumbprint> {
    KeyThumbprint::parse(given.strip_prefix(audience)?.strip_prefix(AUDIENCE_SUFFIX)?)
}

/// A JWK thumbprint (RFC 7638): SHA-256, in base64url without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyThumbprint(String);

impl KeyThumbprint {
    /// Takes the text of a claim, if it can be a thumbprint.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == THUMBPRINT_CHARS && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for KeyThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const THUMBPRINT: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

    #[test]
    fn each_way_has_its_place() {
        let bound = format!("sigstore?jkt={THUMBPRINT}");
        for (binding, claims) in [
            (KeyBinding::Confirmation, json!({"cnf": {"jkt": THUMBPRINT}})),
            (KeyBinding::Nonce, json!({"nonce": THUMBPRINT})),
            (KeyBinding::Audience, json!({"aud": bound})),
            (KeyBinding::Audience, json!({"aud": ["other", "sigstore", bound]})),
        ] {
            let found = binding.thumbprint(claims.as_object().unwrap(), "sigstore");
            assert_eq!(found, Some(KeyThumbprint(THUMBPRINT.to_owned())), "{claims}");
        }
    }

    #[test]
    fn anything_else_names_no_key() {
        let long = format!("{THUMBPRINT}A");
        for (binding, claims) in [
            (KeyBinding::Confirmation, json!({})),
            (KeyBinding::Confirmation, json!({"cnf": THUMBPRINT})),
            (KeyBinding::Confirmation, json!({"cnf": {"jwk": {}}})),
            (KeyBinding::Confirmation, json!({"cnf": {"jkt": [THUMBPRINT]}})),
            (KeyBinding::Confirmation, json!({"nonce": THUMBPRINT})),
            (KeyBinding::Nonce, json!({"nonce": long})),
            (KeyBinding::Nonce, json!({"nonce": THUMBPRINT.replace('-', "+")})),
            (KeyBinding::Audience, json!({"aud": "sigstore"})),
            (
                KeyBinding::Audience,
                json!({"aud": format!("sigstore2?jkt={THUMBPRINT}")}),
            ),
            (
                KeyBinding::Audience,
                json!({"aud": format!("sigstore?jkt={long}")}),
            ),
            (
                KeyBinding::Audience,
                json!({"aud": {"sigstore": format!("sigstore?jkt={THUMBPRINT}")}}),
            ),
        ] {
            assert_eq!(
                binding.thumbprint(claims.as_object().unwrap(), "sigstore"),
                None,
                "{claims}"
            );
        }
    }
}

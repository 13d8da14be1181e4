//! The two documents of an issuer, as far as they are read.

use serde::{Deserialize, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use super::FetchError;
use crate::token::algorithm::Algorithm;

const ALGORITHMS: &str = "id_token_signing_alg_values_supported";

/// OpenID Connect Discovery 1.0 section 3. A member that is read here may not occur twice; others
/// may, as in Go's decoder.
#[derive(Deserialize)]
pub(super) struct Discovery {
    issuer: Option<Value>,
    jwks_uri: Option<Value>,
    id_token_signing_alg_values_supported: Option<Value>,
}

impl Discovery {
    pub(super) fn issuer(&self) -> Result<&str, FetchError> {
        text(self.issuer.as_ref(), "issuer")
    }

    pub(super) fn jwks_uri(&self) -> Result<&str, FetchError> {
        text(self.jwks_uri.as_ref(), "jwks_uri")
    }

    /// The algorithms of its tokens, as far as they are known here.
    pub(super) fn algorithms(&self) -> Result<Vec<Algorithm>, FetchError> {
        let names = match &self.id_token_signing_alg_values_supported {
            None => return Ok(Vec::new()),
            Some(Value::Array(names)) => names.iter(),
            Some(_) => return Err(FetchError::NotADocument(ALGORITHMS)),
        };
        let names = names.map(|name| text(Some(name), ALGORITHMS));
        let names: Vec<&str> = names.collect::<Result<_, _>>()?;
        Ok(names.into_iter().filter_map(Algorithm::named).collect())
    }
}

/// A JWK Set (RFC 7517 section 5).
#[derive(Deserialize)]
pub(super) struct JwkSet {
    keys: Option<Value>,
}

impl JwkSet {
    pub(super) fn keys(&self) -> Result<&[Value], FetchError> {
        match &self.keys {
            Some(Value::Array(keys)) => Ok(keys),
            _ => Err(FetchError::NotADocument("keys")),
        }
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, FetchError> {
    // What is read into a struct could be an array, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(FetchError::NotJson(serde_json::Error::custom("no object")));
    }
    serde_json::from_slice(body).map_err(FetchError::NotJson)
}

fn text<'a>(value: Option<&'a Value>, member: &'static str) -> Result<&'a str, FetchError> {
    value
        .and_then(Value::as_str)
        .ok_or(FetchError::NotADocument(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(json: &str) -> Result<Discovery, String> {
        parse(json.as_bytes()).map_err(|error| {
            let cause = std::error::Error::source(&error).unwrap().to_string();
            cause.split(" at ").next().unwrap().to_owned()
        })
    }

    #[test]
    fn only_what_is_read_may_not_occur_twice() {
        let unread = r#"{"issuer": "i", "x": 1, "x": [2], "jwks_uri": "j"}"#;
        let unread = discovery(unread).unwrap();
        assert_eq!((unread.issuer().unwrap(), unread.jwks_uri().unwrap()), ("i", "j"));
        for (json, error) in [
            (r#"{"issuer": "i", "issuer": "j"}"#, "duplicate field `issuer`"),
            (
                r#"{"jwks_uri": "i", "jwks_uri": "i"}"#,
                "duplicate field `jwks_uri`",
            ),
            (r#"["i", "j", ["ES256"]]"#, "no object"),
            ("\u{feff}{}", "no object"),
            ("", "no object"),
            (r#"{"issuer": "i"} {}"#, "trailing characters"),
        ] {
            assert_eq!(discovery(json).err().as_deref(), Some(error), "{json}");
        }
    }

    #[test]
    fn algorithms_are_those_known_here() {
        let of = |value: &str| {
            let json = format!("{{\"{ALGORITHMS}\": {value}}}");
            discovery(&json)
                .unwrap()
                .algorithms()
                .map_err(|error| error.to_string())
        };
        assert_eq!(of(r#"["none", "HS256", "ES512"]"#), Ok(vec![Algorithm::Es512]));
        assert_eq!(of(r#"["HS256"]"#), Ok(vec![]));
        assert_eq!(of("null"), Ok(vec![]));
        for invalid in [r#""ES256""#, r#"["ES256", 1]"#, "{}"] {
            let error = of(invalid).unwrap_err();
            assert!(error.contains(ALGORITHMS), "{error}");
        }
    }
}

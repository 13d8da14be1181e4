//! Claims as text.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::IdentityError;

/// Longest value of one name or extension, in bytes. The longest that a CI provider documents (repository, workflow
/// path and ref together) stays below 2 KiB; the limit bounds the certificate, whatever the size of the token.
pub const MAX_VALUE_BYTES: usize = 2048;

/// Integers up to 2^53 are exact as a double, which is what Fulcio makes of every JSON number.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

/// What Go prints for JSON's `null`.
const NULL: &str = "<nil>";

/// What is wrong with a text that would stand in a certificate, if anything. Texts are refused, never altered:
/// control characters and direction overrides can make a name look like another one.
pub(super) fn text_problem(text: &str) -> Option<&'static str> {
    if text.len() > MAX_VALUE_BYTES {
        return Some("is longer than 2048 bytes");
    }
    // Nearly every value is ASCII, where this is several times faster than character by character.
    let control = if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    };
    if control {
        return Some("contains a control character");
    }
    (!text.is_ascii() && text.chars().any(overrides_direction))
        .then_some("contains an invisible character that changes the direction of text")
}

/// Unicode's `Bidi_Control` characters (UAX #9, section 2): marks, embeddings, overrides and isolates.
fn overrides_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// A claim's value as the text that Fulcio makes of it: strings as they are, `true` and `false`, numbers without a
/// fraction as integers and others in the shortest decimal form, never with an exponent.
///
/// `null` becomes Go's `<nil>`, because that is what stands in Fulcio's certificates for GitLab jobs whose configuration
/// is in another place; it names nobody, so a certificate's name is never made of it. Fulcio prints arrays and objects
/// in Go's notation (`map[…]`) and rounds integers beyond 2^53: such claims are refused where a template uses them.
pub(super) fn claim_text<'a>(claim: &str, value: &'a Value) -> Result<Cow<'a, str>, IdentityError> {
    let invalid = |problem| IdentityError::claim_invalid(claim, problem);
    match value {
        Value::String(text) => match text_problem(text) {
            None => Ok(Cow::Borrowed(text)),
            Some(problem) => Err(invalid(problem)),
        },
        Value::Bool(true) => Ok(Cow::Borrowed("true")),
        Value::Bool(false) => Ok(Cow::Borrowed("false")),
        Value::Number(number) => number_text(number)
            .map(Cow::Owned)
            .ok_or_else(|| invalid("is a number too large to be exact")),
        Value::Null => Ok(Cow::Borrowed(NULL)),
        Value::Array(_) => Err(invalid("is a list, not a single value")),
        Value::Object(_) => Err(invalid("is an object, not a single value")),
    }
}

fn number_text(number: &Number) -> Option<String> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    match magnitude {
        Some(magnitude) => (magnitude <= MAX_EXACT_INTEGER).then(|| number.to_string()),
        None => number.as_f64().map(|float| float.to_string()),
    }
}

/// Where in the token a value stands: a JSON path of names (RFC 9535), `$.a['b.c']`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    written: String,
    names: Vec<String>,
}

impl ClaimPath {
    /// Reads `$.a.b` and `$['a']["b"]`; nothing for a JSON path that may lead to more than one place, or into a list.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let mut rest = path.strip_prefix('$')?;
        let mut names = Vec::new();
        while !rest.is_empty() {
            let (name, after) = first_name(rest)?;
            names.push(name.to_owned());
            rest = after;
        }
        (!names.is_empty()).then(|| Self {
            written: path.to_owned(),
            names,
        })
    }

    /// The path of these names.
    pub(super) fn of_names(names: &[&str]) -> Self {
        Self {
            written: names.join(" > "),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The path as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.written
    }

    /// The claim that it leads through.
    pub(super) fn claim(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// The non-empty string at this path.
    pub(super) fn text<'a>(&self, claims: &'a Map<String, Value>) -> Result<&'a str, IdentityError> {
        let missing = || IdentityError::claim_missing(&self.written);
        let invalid = |problem| IdentityError::claim_invalid(&self.written, problem);
        let (first, rest) = self.names.split_first().ok_or_else(missing)?;
        let found = rest
            .iter()
            .try_fold(claims.get(first).ok_or_else(missing)?, |value, name| {
                value.get(name)
            })
            .ok_or_else(missing)?;
        let text = found.as_str().ok_or_else(|| invalid("is not a string"))?;
        match text_problem(text) {
            _ if text.is_empty() => Err(invalid("is empty")),
            Some(problem) => Err(invalid(problem)),
            None => Ok(text),
        }
    }
}

/// The name at the head of a path, and what follows it.
fn first_name(path: &str) -> Option<(&str, &str)> {
    let (name, after) = if let Some(rest) = path.strip_prefix('.') {
        rest.split_at_checked(rest.find(['.', '[']).unwrap_or(rest.len()))
            .filter(|(name, _)| is_shorthand(name))
    } else if let Some(rest) = path.strip_prefix("['") {
        rest.split_once("']").filter(|(name, _)| is_quotable(name))
    } else {
        path.strip_prefix("[\"")?
            .split_once("\"]")
            .filter(|(name, _)| is_quotable(name))
    }?;
    Some((name, after))
}

/// RFC 9535 section 2.5.1.1, in ASCII, and with the hyphen that Fulcio's library takes.
fn is_shorthand(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.bytes().all(allowed)
}

/// Names that need no escapes between quotes.
fn is_quotable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['\'', '"', '\\']) && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_the_text_that_go_prints() {
        for (value, text) in [
            (json!("a b"), "a b"),
            (json!(""), ""),
            (json!(null), "<nil>"),
            (json!(true), "true"),
            (json!(false), "false"),
            (json!(0), "0"),
            (json!(-7), "-7"),
            (json!(9_007_199_254_740_992_u64), "9007199254740992"),
            (json!(1.0), "1"),
            (json!(-0.0), "-0"),
            (json!(1.5), "1.5"),
            (json!(1e21), "1000000000000000000000"),
            (json!(1e-7), "0.0000001"),
        ] {
            assert_eq!(claim_text("claim", &value).unwrap(), text, "{value}");
        }
    }

    #[test]
    fn values_that_name_nobody_are_refused() {
        for value in [
            json!([]),
            json!(["a"]),
            json!({}),
            json!(9_007_199_254_740_993_u64),
            json!(i64::MIN),
            json!("a\u{0}b"),
            json!("a\nb"),
            json!("a\u{7f}"),
            json!("a\u{85}"),
            json!("a\u{202e}b"),
            json!("a\u{2066}b"),
            json!("a\u{200f}b"),
            json!("a".repeat(MAX_VALUE_BYTES + 1)),
        ] {
            let error = claim_text("claim", &value).unwrap_err();
            assert_eq!(error.reason(), "claim_invalid", "{value}");
        }
        assert!(claim_text("claim", &json!("a".repeat(MAX_VALUE_BYTES))).is_ok());
    }

    #[test]
    fn a_path_is_names_and_dots() {
        for (path, names) in [
            ("$.a", vec!["a"]),
            (
                "$.federated_claims.connector_id",
                vec!["federated_claims", "connector_id"],
            ),
            ("$.a-b.C_1", vec!["a-b", "C_1"]),
            ("$['a']", vec!["a"]),
            ("$['https://example.com/a']", vec!["https://example.com/a"]),
            ("$.a[\"b.c\"]['d'].e", vec!["a", "b.c", "d", "e"]),
        ] {
            assert_eq!(ClaimPath::parse(path).unwrap().names, names, "{path}");
        }
        for path in [
            "",
            "$",
            "$.",
            "a.b",
            "$.a.",
            "$..a",
            "$.a[0]",
            "$.*",
            "$[*]",
            "$['']",
            "$['a'",
            "$['a\\'b']",
            "$['a','b']",
            "$['a\"]",
            "$.a b",
            "$.a.b[?(@.c)]",
        ] {
            assert!(ClaimPath::parse(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_path_leads_to_a_non_empty_string() {
        let reason = |claims: Value| {
            let path = ClaimPath::parse("$.a.b").unwrap();
            path.text(claims.as_object().unwrap())
                .map_err(|error| error.reason())
                .map(str::to_owned)
        };
        assert_eq!(reason(json!({"a": {"b": "x"}})), Ok("x".to_owned()));
        assert_eq!(reason(json!({})), Err("claim_missing"));
        assert_eq!(reason(json!({"a": {}})), Err("claim_missing"));
        assert_eq!(reason(json!({"a": "b"})), Err("claim_missing"));
        assert_eq!(reason(json!({"a": {"b": null}})), Err("claim_invalid"));
        assert_eq!(reason(json!({"a": {"b": ["x"]}})), Err("claim_invalid"));
        assert_eq!(reason(json!({"a": {"b": ""}})), Err("claim_invalid"));
        assert_eq!(reason(json!({"a": {"b": "x\u{0}"}})), Err("claim_invalid"));
    }
}

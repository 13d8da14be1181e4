//! How the bytes of the fuzzer become inputs: as text, so that seeds and crashes can be read and edited.

use libfuzzer_sys::arbitrary::{Arbitrary, Error, Result, Unstructured};
use serde_json::{Map, Value};

/// The line between the parts of an input.
const SEPARATOR: &str = "\n---\n";

/// Parts of one text, cut at lines of three dashes. At most `N`, the last of which is the rest; those that the text does
/// not have are empty.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a, const N: usize>(pub [&'a str; N]);

impl<'a, const N: usize> Arbitrary<'a> for Parts<'a, N> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let text = bytes.bytes(bytes.len())?;
        let text = std::str::from_utf8(text).map_err(|_| Error::IncorrectFormat)?;
        let mut rest = text.splitn(N, SEPARATOR);
        Ok(Self(std::array::from_fn(|_| rest.next().unwrap_or_default())))
    }
}

/// A text, and below the separator the claims of a token, each as a line `name=value`: JSON, or else the text itself.
#[derive(Clone, Debug)]
pub struct TextAndClaims<'a> {
    /// What stands above the separator.
    pub text: &'a str,
    /// What stands below it.
    pub claims: Map<String, Value>,
}

impl<'a> Arbitrary<'a> for TextAndClaims<'a> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let Parts([text, claims]) = Parts::arbitrary(bytes)?;
        let claim = |line: &str| {
            let (name, value) = line.split_once('=')?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Some((name.to_owned(), value))
        };
        Ok(Self {
            text,
            claims: claims.lines().filter_map(claim).collect(),
        })
    }
}

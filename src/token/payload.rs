//! The payload of a token: claims that have one reading, and others, of which nothing may be made.
//!
//! A member that occurs twice, text that is not UTF-8, and half a surrogate pair are read
//! differently by different parsers (RFC 8259 sections 4, 8.1 and 8.2), so that a token could mean
//! one thing to its issuer and another to us. Some providers send them in claims that nobody here
//! looks at. Those are left out; a token is refused if one of them is read for every token, or by
//! the rules of its entry.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::{
    error::{Quoted, TokenError},
    json,
};
use crate::trusted_issuer::TrustedIssuer;

/// The claims that are read before the entry is known, or without its rules.
const ALWAYS_READ: [&str; 6] = ["iss", "sub", "aud", "exp", "nbf", "iat"];

/// Claims, by whether they have one reading.
#[derive(Debug, Default)]
pub(super) struct Payload {
    claims: Map<String, Value>,
    /// The others, and what is wrong with them.
    ambiguous: BTreeMap<String, String>,
}

impl Payload {
    /// # Errors
    /// Not one JSON object, or a claim that is always read has more than one reading.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        let text = String::from_utf8_lossy(bytes);
        let replaced = matches!(text, Cow::Owned(_));
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let payload = deserializer
            .deserialize_map(PayloadVisitor { replaced })
            .and_then(|payload| deserializer.end().map(|()| payload))
            .map_err(|_| TokenError::Malformed("its payload is not one strict JSON object"))?;
        payload.refuse(|claim| ALWAYS_READ.contains(&claim))?;
        Ok(payload)
    }

    /// The claims that have one reading.
    pub(super) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The same, for whoever asked [`Self::check`].
    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    /// Whether every claim that the entry's rules may read has one reading.
    ///
    /// # Errors
    /// `ClaimAmbiguous`.
    pub(super) fn check(&self, entry: &TrustedIssuer) -> Result<(), TokenError> {
        self.refuse(|claim| entry.reads(claim))
    }

    fn refuse(&self, is_read: impl Fn(&str) -> bool) -> Result<(), TokenError> {
        match self.ambiguous.iter().find(|(claim, _)| is_read(claim)) {
            None => Ok(()),
            Some((claim, problem)) => Err(TokenError::ClaimAmbiguous {
                claim: Quoted::new(claim),
                problem: problem.clone(),
            }),
        }
    }

    fn insert(&mut self, claim: String, value: Result<Value, String>) {
        let value = match self.claims.remove(&claim) {
            Some(_) => Err(TWICE.to_owned()),
            None => value,
        };
        match value {
            Ok(value) if !self.ambiguous.contains_key(&claim) => drop(self.claims.insert(claim, value)),
            Ok(_) => {}
            Err(problem) => drop(self.ambiguous.insert(claim, problem)),
        }
    }
}

const TWICE: &str = "it occurs twice";

struct PayloadVisitor {
    /// Bytes that are not UTF-8 were replaced with U+FFFD, wherever one stands now.
    replaced: bool,
}

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Payload, A::Error> {
        let mut payload = Payload::default();
        while let Some(claim) = members.next_key::<String>()? {
            let value = members.next_value::<&RawValue>()?.get();
            let is_replaced = |text: &str| self.replaced && text.contains(char::REPLACEMENT_CHARACTER);
            let value = match is_replaced(&claim) || is_replaced(value) {
                true => Err("it is not UTF-8".to_owned()),
                false => json::parse_member(value).map_err(|error| error.to_string()),
            };
            payload.insert(claim, value);
        }
        Ok(payload)
    }
}

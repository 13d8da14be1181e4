//! The keys of a set that verify nothing, for the operator.

use std::fmt;

use serde_json::Value;

use super::{super::error::Quoted, MAX_KEY_ID_BYTES};

/// How many keys are named one by one.
const MAX_NAMED: usize = 5;

/// Why a key of a set cannot verify tokens. `Display` completes a sentence that begins with the key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// `use` says so: nothing is wrong with it.
    #[error("not for signatures")]
    NotForSignatures,
    #[error("key_ops without verify")]
    KeyOps,
    #[error("no JSON Web Key: {0}")]
    NoJwk(Quoted),
    #[error("a private key, which must not be published")]
    Private,
    #[error("a kid of more than {MAX_KEY_ID_BYTES} bytes")]
    KeyId,
    #[error("kty {0}")]
    KeyType(Quoted),
    #[error("crv {0}")]
    Curve(Quoted),
    #[error("alg {0}")]
    Algorithm(Quoted),
    #[error("an RSA modulus of {0} bits")]
    RsaBits(u64),
    #[error("its numbers are no valid key")]
    Numbers,
}

/// Which keys of a set were left out. `Display` is one line of bounded length.
#[derive(Debug)]
pub(in crate::token) struct LeftOut {
    published: usize,
    count: usize,
    named: Vec<String>,
}

impl LeftOut {
    pub(super) fn of(published: usize) -> Self {
        Self {
            published,
            count: 0,
            named: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, jwk: &Value, reason: &Unusable) {
        if matches!(reason, Unusable::NotForSignatures) {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.named.len() < MAX_NAMED {
            let key = match jwk.get("kid").and_then(Value::as_str) {
                Some(kid) => Quoted::new(kid).to_string(),
                None => "one without kid".to_owned(),
            };
            self.named.push(format!("{key}: {reason}"));
        }
    }

    pub(super) fn if_any(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.join(", ");
        write!(
            formatter,
            "{} of {} keys left out: {named}",
            self.count, self.published
        )?;
        match self.count > self.named.len() {
            true => formatter.write_str(", ..."),
            false => Ok(()),
        }
    }
}

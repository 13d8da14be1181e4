//! A token that nobody verified.

use std::sync::Arc;

use mayfly::{token::VerifiedToken, trusted_issuer::TrustedIssuer};

pub fn forged(issuer: Arc<TrustedIssuer>) -> VerifiedToken {
    VerifiedToken { issuer, subject: String::from("root"), claims: Default::default() }
}

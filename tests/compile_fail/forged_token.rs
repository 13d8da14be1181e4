//! A token that nobody verified.

use std::sync::Arc;

use mayfly::{
    token::{TokenHash, VerifiedToken},
    trusted_issuer::TrustedIssuer,
};

pub fn forged(issuer: Arc<TrustedIssuer>) -> VerifiedToken {
    VerifiedToken {
        issuer,
        iss: String::from("https://idp.example"),
        subject: String::from("root"),
        claims: Default::default(),
        expires: u64::MAX,
        hash: TokenHash::of(b""),
    }
}

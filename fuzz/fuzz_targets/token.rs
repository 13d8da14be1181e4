//! A token that nobody signed: it is never accepted and never a panic. It is refused at once, without asking any host
//! for keys, unless its `iss` is one that is trusted. What is read of it without keys is what its JSON says.
//!
//! An input is a token as it is sent; or, with separators, its header, payload and signature before they are encoded.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use mayfly::{
    clock::Timestamp,
    identity::Rule,
    token::{FetchPolicy, LoopbackHttp, RawToken, TokenError, TokenVerifier, unverified_claims},
    trusted_issuer::{ChallengeClaim, IssuerName, TrustedIssuer, TrustedIssuers},
};
use mayfly_fuzz::Parts;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

/// 2027-01-15T08:00:00Z
const NOW: Timestamp = Timestamp::from_unix(Duration::from_secs(1_800_000_000));

/// Where a trusted issuer's keys would be fetched; but nobody runs it, so that nothing ever is.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "does not depend on the input")]
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
});

static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
    let names = [
        IssuerName::exact("https://idp.invalid"),
        IssuerName::pattern("https://*.idp.invalid/*"),
    ];
    let trusted = |name| {
        TrustedIssuer::new(
            name,
            "sigstore".to_owned(),
            ChallengeClaim::Subject,
            Rule::email(),
        )
    };
    let issuers = TrustedIssuers::new(names.into_iter().flatten().map(trusted).collect());
    assert_eq!(issuers.iter().count(), 2);
    #[expect(clippy::expect_used, reason = "does not depend on the input")]
    TokenVerifier::new(issuers, FetchPolicy::new(LoopbackHttp::Refused)).expect("a verifier")
});

/// Stands for the reasons below.
const TRUSTED: &str = "of a trusted issuer";

/// Why a token of a trusted issuer is refused without keys: they are asked for only if all else is right.
const WITHOUT_KEYS: [&str; 7] = [
    "claim_missing",
    "claim_invalid",
    "token_expired",
    "token_not_yet_valid",
    "audience_mismatch",
    // A claim that the entry's rule reads does not have one reading.
    "token_malformed",
    "issuer_unavailable",
];

fuzz_target!(|input: Parts<'_, 3>| {
    let token = match input {
        Parts([token, "", ""]) => token.to_owned(),
        Parts(parts) => parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join("."),
    };
    let claims = unverified_claims(&RawToken::new(token.clone()), &TrustedIssuers::new(Vec::new()));
    if let (Ok(claims), Some(payload)) = (&claims, payload(&token)) {
        for (name, value) in claims {
            assert_eq!(payload.get(name), Some(value));
        }
    }

    let _runtime = RUNTIME.enter();
    let verified = VERIFIER.verify(RawToken::new(token), NOW).now_or_never();
    let reason = match claims.as_ref().map(|claims| claims.get("iss")) {
        Err(error) => error.reason(),
        Ok(None) => "claim_missing",
        Ok(Some(Value::String(iss))) if iss.is_empty() || iss.len() > 2048 => "claim_invalid",
        Ok(Some(Value::String(iss))) if VERIFIER.issuers().find(iss).is_some() => TRUSTED,
        Ok(Some(Value::String(_))) => "issuer_not_trusted",
        Ok(Some(_)) => "claim_invalid",
    };
    let Some(verified) = verified else {
        // It waits for keys.
        return assert_eq!(reason, TRUSTED);
    };
    let refusal = verified.err();
    match (refusal.as_ref().map(TokenError::reason), reason) {
        (Some(refused), TRUSTED) => assert!(WITHOUT_KEYS.contains(&refused), "{refused}"),
        (refused, reason) => assert_eq!(refused, Some(reason)),
    }
    let text = refusal.map(|error| error.to_string()).unwrap_or_default();
    assert!(!text.contains(char::is_control), "{text:?}");
});

/// The payload as another parser reads it. That one allows a member twice, which is then none of
/// the claims; and it refuses text that is not Unicode, and numbers and depths beyond its own.
fn payload(token: &str) -> Option<Map<String, Value>> {
    let payload = token.trim().split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

//! A request for a timestamp, JSON if it begins like it and DER otherwise: refused with a code and one line of words, or answered
//! with a token, unless it asks for another policy.
#![no_main]

use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use mayfly::{
    clock::{Clock, SystemClock},
    issuer::ceremony::{KeyKind, TimestampNames, generate_timestamp_authority},
    key::SoftwareKey,
    timestamp::{
        DEFAULT_POLICY, FailureInfo, Query, TimestampAuthority, TimestampChain, TimestampSigner,
        WatchedClock, refusal,
    },
};

/// TimeStampResp, whose length takes two bytes, and in it PKIStatusInfo: granted.
const GRANTED: [u8; 5] = [0x30, 3, 2, 1, 0];

#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
static AUTHORITY: LazyLock<TimestampAuthority> = LazyLock::new(|| {
    let made = async {
        let names = TimestampNames::of("Acme", "Acme").unwrap();
        let now = SystemClock.now();
        let new = generate_timestamp_authority(names, KeyKind::EcdsaP256, now)
            .await
            .unwrap();
        let chain = TimestampChain::from_der(new.chain, now).unwrap();
        let key = SoftwareKey::from_pkcs8_der(&new.key).unwrap();
        let signer = TimestampSigner::new(Arc::new(key), chain, DEFAULT_POLICY).await;
        TimestampAuthority::new(signer.unwrap(), WatchedClock::of_this_machine())
    };
    made.now_or_never().unwrap()
});

fuzz_target!(|input: &[u8]| {
    let query = match input.trim_ascii_start().starts_with(b"{") {
        true => Query::from_json(input),
        false => Query::from_der(input),
    };
    match query {
        Ok(query) => answer(&query),
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains(char::is_control), "{words:?}");
            assert!(refusal(error.failure(), &words).is_ok());
            assert!(error.reason().starts_with("timestamp_"));
        }
    }
});

fn answer(query: &Query) {
    match AUTHORITY.stamp(query).now_or_never() {
        Some(Ok(reply)) => assert_eq!(reply.get(4..9), Some(&GRANTED[..])),
        Some(Err(error)) => assert_eq!(error.failure(), FailureInfo::UnacceptedPolicy, "{error}"),
        None => unreachable!("the key is in this process"),
    }
}

//! What a stranger submits to a log: a JSON body, or certificates as they are (each after its length in two bytes). None
//! makes an internal error, and what is accepted was signed by the root of `fuzz/certificates`.
#![no_main]

use std::{num::NonZeroU32, sync::LazyLock, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use ct_log::{
    Entry, Log, LogKey, Origin,
    chain::{Endpoint, Policy},
    http::Submissions,
};
use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

const ROOT: &[u8] = include_bytes!("../certificates/root.der");

struct Served {
    runtime: Runtime,
    routes: Router,
    policy: Policy,
}

#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let origin = Origin::new("log.example/fuzz").unwrap();
    let log = Log::in_memory(origin, LogKey::generate().unwrap()).unwrap();
    let policy = Policy::new([ROOT]).unwrap();
    Served {
        runtime,
        // Without a limit that matters: every input is to be looked at.
        routes: ct_log::http::router(
            log,
            Submissions::limited(policy.clone(), NonZeroU32::MAX, Duration::from_secs(1)),
        ),
        policy,
    }
});

fuzz_target!(|input: &[u8]| {
    for (path, endpoint) in [
        ("/ct/v1/add-chain", Endpoint::AddChain),
        ("/ct/v1/add-pre-chain", Endpoint::AddPreChain),
    ] {
        if input.trim_ascii_start().starts_with(b"{") {
            submit(path, input);
        } else {
            accept(&chain(input), endpoint);
        }
    }
});

fn submit(path: &str, body: &[u8]) {
    #[expect(clippy::expect_used, reason = "does not depend on the input")]
    let request = Request::post(path)
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let answer = SERVED.runtime.block_on(SERVED.routes.clone().oneshot(request));
    let status = answer.map(|answer| answer.status());
    let expected = [
        StatusCode::OK,
        StatusCode::BAD_REQUEST,
        StatusCode::PAYLOAD_TOO_LARGE,
    ];
    assert!(status.is_ok_and(|status| expected.contains(&status)));
}

fn chain(input: &[u8]) -> Vec<&[u8]> {
    let mut rest = Unstructured::new(input);
    let mut chain = Vec::new();
    while let Ok([high, low]) = rest.arbitrary::<[u8; 2]>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Ok(certificate) = rest.bytes(length.min(rest.len())) else {
            break;
        };
        chain.push(certificate);
        if rest.is_empty() {
            break;
        }
    }
    chain
}

fn accept(chain: &[&[u8]], endpoint: Endpoint) {
    let Ok(accepted) = SERVED.policy.accept(chain, endpoint) else {
        return;
    };
    assert_eq!(accepted.issuers().last().map(Vec::as_slice), Some(ROOT));
    let logged = match (accepted.entry(), endpoint) {
        (Entry::Certificate { der }, Endpoint::AddChain) => der,
        (
            Entry::Precertificate {
                precertificate, tbs, ..
            },
            Endpoint::AddPreChain,
        ) => {
            assert!(tbs.len() < precertificate.len());
            precertificate
        }
        other => unreachable!("{other:?}"),
    };
    assert_eq!(Some(logged.as_slice()), chain.first().copied());
}

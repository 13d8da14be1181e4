//! Identity providers that are down or misbehave: their tokens may be good later, and nobody else's suffer.

use std::net::Ipv4Addr;

use serde_json::json;
use tonic::Code;

use crate::{
    ask::{Ask, Interface, Key},
    fake_issuer::{Answer, Document, FakeIssuer, SigningKey},
    fixture::{Fixture, ONE_FETCH, Refusal},
};

/// Retry after the cool-down of ten seconds (checked with each answer).
const UNAVAILABLE: Refusal = Refusal(503, Code::Unavailable, "issuer_unavailable");
const MISMATCH: Refusal = Refusal(400, Code::InvalidArgument, "issuer_mismatch");

/// An issuer that answers requests for one document like this.
async fn misbehaving(key: &SigningKey, document: Document, answer: Answer) -> FakeIssuer {
    let issuer = FakeIssuer::start(&[key]).await;
    issuer.answer(document, answer);
    issuer
}

#[tokio::test]
async fn the_tokens_of_an_issuer_without_keys_are_refused_for_now_and_no_others() {
    use Document::{Discovery, Jwks};
    let key = SigningKey::generate("ES256", "key-1");
    let stranger = FakeIssuer::start(&[&key]).await;
    let elsewhere = json!({"issuer": stranger.url(), "jwks_uri": format!("{}/jwks", stranger.url())});
    let answers = [
        ("discovery fails", Discovery, Answer::Status(503)),
        ("keys fail", Jwks, Answer::Status(500)),
        (
            "discovery redirects",
            Discovery,
            Answer::RedirectTo(stranger.url().to_owned()),
        ),
        (
            "keys redirect",
            Jwks,
            Answer::RedirectTo(format!("{}/jwks", stranger.url())),
        ),
        ("discovery of another issuer", Discovery, Answer::json(&elsewhere)),
        ("discovery is HTML", Discovery, Answer::Body(b"<html>".to_vec())),
        ("keys are HTML", Jwks, Answer::Body(b"<html>".to_vec())),
        ("keys without end", Jwks, Answer::Body(vec![b' '; 1 << 20])),
    ];
    let mut issuers = Vec::new();
    for (name, document, answer) in answers {
        issuers.push((name, misbehaving(&key, document, answer).await));
    }
    let mut urls: Vec<(&str, String)> = issuers
        .iter()
        .map(|(name, issuer)| (*name, issuer.url().to_owned()))
        .collect();
    urls.push(("nobody listens", format!("http://{}", free_address())));

    let others = urls.iter().map(|(_, url)| url.clone()).collect();
    let fixture = Fixture::start_trusting(others).await;
    for (name, url) in urls {
        let token = key.token(&fixture.claims_with("iss", url));
        let ask = Ask::new(token, Key::good());
        for interface in Interface::ALL {
            let sent = ask.over(interface).unwrap();
            let refusal = match name {
                "discovery of another issuer" => MISMATCH,
                _ => UNAVAILABLE,
            };
            fixture.refuse(name, sent, refusal, &ask.secrets()).await;
        }
    }
    assert_eq!(
        stranger.requests(),
        0,
        "nobody follows a redirect or another issuer's document"
    );
    assert_eq!(fixture.instance().issuer.requests(), ONE_FETCH);
}

/// Where nobody listens: a port that was free a moment ago.
fn free_address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

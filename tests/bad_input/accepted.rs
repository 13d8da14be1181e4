//! Input that asks for too much, of which only what is allowed counts: a certificate, and a plain leaf.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    ask::{Ask, Interface, Key},
    fake_issuer::SigningKey,
    fixture::{Fixture, ONE_FETCH},
};

#[tokio::test]
async fn what_a_request_asks_for_beside_its_key_is_ignored() {
    let fixture = Fixture::start().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/proof/csr-asks-for-ca.pem");
    let ask = Ask::new(fixture.token(), Key::Request(std::fs::read(path).unwrap()));
    for interface in Interface::ALL {
        fixture.grant("CA:TRUE", &ask, interface).await;
    }
}

#[tokio::test]
async fn keys_and_addresses_in_the_header_of_an_honest_token_are_ignored() {
    let fixture = Fixture::start().await;
    let locator = fixture.tripwire_url();
    let stranger = SigningKey::generate("ES256", "key-1");
    for (parameter, value) in [
        ("jku", json!(locator)),
        ("x5u", json!(locator)),
        ("jwk", stranger.jwk()),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = fixture.header_with(parameter, value);
        accept(&fixture, parameter, &header, &fixture.claims()).await;
    }
}

#[tokio::test]
async fn one_audience_of_several_and_a_token_without_kid_are_accepted() {
    let fixture = Fixture::start().await;
    let header = fixture.instance().issuer_key.header();
    let several = fixture.claims_with("aud", json!(["other", "sigstore"]));
    accept(&fixture, "aud", &header, &several).await;
    let mut unnamed = header;
    unnamed.as_object_mut().unwrap().remove("kid").unwrap();
    accept(&fixture, "no kid", &unnamed, &fixture.claims()).await;
}

async fn accept(fixture: &Fixture, name: &str, header: &Value, claims: &Value) {
    let token = fixture.instance().issuer_key.token_with_header(header, claims);
    for interface in Interface::ALL {
        fixture
            .grant(name, &Ask::new(&token, Key::good()), interface)
            .await;
    }
    assert_eq!(fixture.instance().issuer.requests(), ONE_FETCH, "{name}");
}

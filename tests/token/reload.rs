//! Other issuers while tokens of the old ones arrive.

use super::*;

fn entries(issuers: &[(&str, &str)]) -> TrustedIssuers {
    TrustedIssuers::new(
        issuers
            .iter()
            .map(|(url, audience)| trusted(url, audience).with_definition(format!("{url} {audience}")))
            .collect(),
    )
}

#[tokio::test]
async fn keys_of_issuers_that_stay_are_not_fetched_again() {
    let fixture = Fixture::warm().await;
    let other = FakeIssuer::start(&[&fixture.key]).await;
    let verifier = fixture
        .verifier
        .with_issuers(entries(&[
            (fixture.issuer.url(), "sigstore"),
            (other.url(), "sigstore"),
        ]))
        .unwrap();
    verifier.warm_up();
    assert_eq!(reason(&verifier, &fixture.good()).await, "accepted");
    assert_eq!(fixture.issuer.requests(), ONE_FETCH);
    other.wait_for_requests(ONE_FETCH).await;
}

#[tokio::test]
async fn an_issuer_that_goes_is_not_trusted_any_more() {
    let fixture = Fixture::warm().await;
    let verifier = fixture
        .verifier
        .with_issuers(entries(&[("https://other.example", "sigstore")]))
        .unwrap();
    assert_eq!(reason(&verifier, &fixture.good()).await, "issuer_not_trusted");
    fixture.accept_good().await;
}

#[test]
fn changes_are_named_and_what_stays_is_the_same() {
    let old = entries(&[
        ("https://a.example", "x"),
        ("https://b.example", "x"),
        ("https://c.example", "x"),
    ]);
    let mut new = vec![
        trusted("https://a.example", "x").with_definition("https://a.example x".to_owned()),
        trusted("https://b.example", "x").with_definition("something else".to_owned()),
    ];
    new.push(trusted("https://c.example", "y"));
    let (new, changes) = TrustedIssuers::new(new).succeed(&old);
    assert_eq!(changes.added, ["https://c.example (y)"]);
    assert_eq!(changes.removed, ["https://c.example (x)"]);
    assert_eq!(changes.altered, ["https://b.example (x)"]);
    let same = |url: &str| std::sync::Arc::ptr_eq(&old.find(url).unwrap()[0], &new.find(url).unwrap()[0]);
    assert!(same("https://a.example") && !same("https://b.example"));
}

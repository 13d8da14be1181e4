//! Claims that do not hold: issuer, audience, times, the email address; and JSON that can be read in two ways.

use mayfly::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::{
    ask::{Ask, Key},
    fixture::{Fixture, Row},
};

fn ask(fixture: &Fixture, claims: &Value) -> Ask {
    Ask::new(fixture.instance().issuer_key.token(claims), Key::good())
}

#[tokio::test]
async fn an_issuer_that_only_resembles_a_trusted_one_is_not_trusted() {
    let fixture = Fixture::start().await;
    let trusted = fixture.instance().issuer.url().to_owned();
    let stranger = fixture.tripwire_url();
    let issuers = [
        ("starts with a trusted one", format!("{trusted}.evil.example")),
        ("goes on after a trusted one", format!("{trusted}/evil")),
        ("has a slash more", format!("{trusted}/")),
        ("has a query more", format!("{trusted}?a=b")),
        ("has a fragment more", format!("{trusted}#a")),
        ("has a space more", format!("{trusted} ")),
        ("has a newline more", format!("{trusted}\n")),
        ("has a NUL more", format!("{trusted}\0")),
        ("contains a trusted one as query", format!("{stranger}?{trusted}")),
        ("contains a trusted one as path", format!("{stranger}/{trusted}")),
        (
            "contains a trusted one as fragment",
            format!("{stranger}#{trusted}"),
        ),
        (
            "contains a trusted one as user",
            trusted.replace("http://", "http://a@"),
        ),
        (
            "trusted one as user of another",
            format!("{trusted}@{}", &stranger["http://".len()..]),
        ),
        ("another scheme", trusted.replace("http://", "https://")),
        ("another case", trusted.replace("http://", "HTTP://")),
        ("a wildcard", "*".to_owned()),
        ("someone else", stranger),
    ];
    let mut rows: Vec<Row> = issuers
        .into_iter()
        .map(|(name, issuer)| {
            let claims = fixture.claims_with("iss", issuer);
            Row(name, ask(&fixture, &claims), "issuer_not_trusted")
        })
        .collect();
    for (name, issuer) in [
        ("an empty issuer", json!("")),
        ("a list of issuers", json!([trusted])),
    ] {
        let claims = fixture.claims_with("iss", issuer);
        rows.push(Row(name, ask(&fixture, &claims), "claim_invalid"));
    }
    fixture.refuse_all(rows).await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let fixture = Fixture::start().await;
    let mismatch = "audience_mismatch";
    let rows = [
        ("another audience", json!("evil"), mismatch),
        ("another case", json!("Sigstore"), mismatch),
        ("a slash more", json!("sigstore/"), mismatch),
        ("starts with the audience", json!("sigstore.evil"), mismatch),
        ("empty audience", json!(""), mismatch),
        ("array of another audience", json!(["evil"]), mismatch),
        ("array of an empty audience", json!([""]), mismatch),
        ("empty array", json!([]), "claim_invalid"),
        ("array with a number", json!(["sigstore", 7]), "claim_invalid"),
        ("array in an array", json!([["sigstore"]]), "claim_invalid"),
        ("number", json!(7), "claim_invalid"),
        ("object", json!({"sigstore": true}), "claim_invalid"),
        ("null", json!(null), "claim_invalid"),
    ];
    let rows = rows.map(|(name, audience, reason)| {
        Row(name, ask(&fixture, &fixture.claims_with("aud", audience)), reason)
    });
    fixture.refuse_all(rows.into()).await;
}

#[tokio::test]
async fn times_that_do_not_hold_or_are_no_numbers_are_refused() {
    let fixture = Fixture::start().await;
    let now = SystemClock.now().unix_seconds();
    let seconds = f64::from(u32::try_from(now).unwrap());
    let rows = [
        ("expired", "exp", json!(now - 1), "token_expired"),
        ("expires now", "exp", json!(now), "token_expired"),
        ("expired in 1970", "exp", json!(0), "token_expired"),
        ("not yet valid", "nbf", json!(now + 3600), "token_not_yet_valid"),
        (
            "exp as string",
            "exp",
            json!((now + 600).to_string()),
            "claim_invalid",
        ),
        ("expired, as float", "exp", json!(seconds - 0.5), "token_expired"),
        (
            "not yet valid, as float",
            "nbf",
            json!(seconds + 3600.5),
            "token_not_yet_valid",
        ),
        ("exp negative", "exp", json!(-1), "claim_invalid"),
        ("exp huge", "exp", json!(1e30), "claim_invalid"),
        ("exp null", "exp", json!(null), "claim_invalid"),
        ("exp array", "exp", json!([now + 600]), "claim_invalid"),
        ("exp true", "exp", json!(true), "claim_invalid"),
        ("nbf as string", "nbf", json!("0"), "claim_invalid"),
        ("nbf negative", "nbf", json!(-0.5), "claim_invalid"),
        ("iat as string", "iat", json!("0"), "claim_invalid"),
        ("iat negative", "iat", json!(-1), "claim_invalid"),
    ];
    let rows = rows.map(|(name, claim, value, reason)| {
        Row(name, ask(&fixture, &fixture.claims_with(claim, value)), reason)
    });
    fixture.refuse_all(rows.into()).await;
}

#[tokio::test]
async fn a_claim_that_every_token_needs_may_not_be_absent() {
    let fixture = Fixture::start().await;
    let claims = ["iss", "aud", "sub", "exp"];
    let rows = claims.map(|claim| {
        let mut claims = fixture.claims();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        Row(claim, ask(&fixture, &claims), "claim_missing")
    });
    fixture.refuse_all(rows.into()).await;
}

#[tokio::test]
async fn an_address_that_is_not_verified_or_none_is_refused() {
    let fixture = Fixture::start().await;
    let unverified = "email_not_verified";
    let rows = [
        ("not verified", "email_verified", json!(false), unverified),
        (
            "not verified, as string",
            "email_verified",
            json!("false"),
            unverified,
        ),
        (
            "verified as a number",
            "email_verified",
            json!(1),
            "claim_invalid",
        ),
        (
            "verified as TRUE",
            "email_verified",
            json!("TRUE"),
            "claim_invalid",
        ),
        ("verified as null", "email_verified", json!(null), "claim_invalid"),
        ("empty address", "email", json!(""), "email_missing"),
        (
            "two addresses",
            "email",
            json!(["alice@example.com"]),
            "email_invalid",
        ),
        (
            "address with a newline",
            "email",
            json!("alice@example.com\n"),
            "email_invalid",
        ),
        (
            "address with a NUL",
            "email",
            json!("alice\0@example.com"),
            "email_invalid",
        ),
        (
            "address in quotes",
            "email",
            json!("\"alice\"@example.com"),
            "email_invalid",
        ),
        (
            "address that turns round",
            "email",
            json!("\u{202e}alice@example.com"),
            "email_invalid",
        ),
    ];
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|(name, claim, value, reason)| {
            Row(name, ask(&fixture, &fixture.claims_with(claim, value)), reason)
        })
        .collect();
    for (claim, reason) in [("email_verified", unverified), ("email", "email_missing")] {
        let mut claims = fixture.claims();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        rows.push(Row(claim, ask(&fixture, &claims), reason));
    }
    fixture.refuse_all(rows).await;
}

#[tokio::test]
async fn json_that_can_be_read_in_two_ways_is_refused() {
    let fixture = Fixture::start().await;
    let key = &fixture.instance().issuer_key;
    let (header, payload) = (key.header().to_string(), fixture.claims().to_string());
    let twice = |entry: &str, object: &str| format!("{{{entry},{}", &object[1..]);
    let in_header = |name, entry| {
        let token = key.token_of_bytes(twice(entry, &header), &payload);
        Row(name, Ask::new(token, Key::good()), "token_malformed")
    };
    let in_payload = |name, payload: String| {
        let token = key.token_of_bytes(&header, payload);
        Row(name, Ask::new(token, Key::good()), "token_malformed")
    };
    let rows = vec![
        in_header("alg twice", r#""alg":"none""#),
        in_header("kid twice", r#""kid":"key-2""#),
        in_payload("iss twice", twice(r#""iss":"https://evil.example""#, &payload)),
        in_payload("aud twice", twice(r#""aud":"evil""#, &payload)),
        in_payload(
            "sub twice, once escaped",
            twice(r#""\u0073ub":"mallory""#, &payload),
        ),
        in_payload("email twice", twice(r#""email":"mallory@example.com""#, &payload)),
        in_payload(
            "email_verified twice",
            twice(r#""email_verified":false"#, &payload),
        ),
        in_payload("exp twice", twice(r#""exp":1"#, &payload)),
        in_payload("data after the payload", format!("{payload}{payload}")),
        in_payload(
            "nested without an end",
            twice(&format!("\"a\":{}", "[".repeat(5000)), &payload),
        ),
        in_payload("no object", "[]".to_owned()),
    ];
    fixture.refuse_all(rows).await;
}

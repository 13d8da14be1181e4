//! Requests that are none: too large, without end, compressed, of other types, with a field twice, with two keys or
//! none, or no message at all.

use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use mayfly::server::proto::{
    CreateSigningCertificateRequest, PublicKeyRequest, create_signing_certificate_request as wire,
};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tonic::Code;

use crate::{
    ask::{Ask, BODY_CANARY, CLAIM_CANARY, Interface, Key, Sent},
    fixture::{Fixture, Refusal},
    frame::{declared, framed},
    log_output::LOG_OUTPUT,
    running::read_to_end,
};

const MALFORMED: Refusal = Refusal(400, Code::InvalidArgument, "request_malformed");
const TOO_LARGE: Refusal = Refusal(413, Code::ResourceExhausted, "body_too_large");
const COMPRESSED: Refusal = Refusal(415, Code::InvalidArgument, "content_encoding_unsupported");
const COMPRESSED_MESSAGE: Refusal = Refusal(200, Code::Unimplemented, "content_encoding_unsupported");

/// With a good token in the header, so that only the body is wrong.
async fn refuse(fixture: &Fixture, name: &str, sent: Sent, refusal: Refusal) {
    let ask = Ask::new(fixture.token(), Key::good());
    let sent = sent.bearer(ask.token.as_deref().unwrap()).unwrap();
    fixture.refuse(name, sent, refusal, &ask.secrets()).await;
}

fn good() -> Ask {
    Ask::new("", Key::good())
}

/// The JSON of a request that would be good.
fn good_json(interface: Interface) -> String {
    let body = good().over(interface).unwrap().body;
    String::from_utf8(body.as_bytes().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn json_that_is_none_or_of_other_types_is_refused() {
    let fixture = Fixture::start().await;
    for interface in [Interface::JsonV2, Interface::JsonV1] {
        let good = good_json(interface);
        let rows = [
            ("nothing", String::new()),
            ("half", good[..good.len() / 2].to_owned()),
            ("trailing data", format!("{good}{{}}")),
            ("trailing canary", format!("{good} {BODY_CANARY}")),
            ("canary alone", BODY_CANARY.to_owned()),
            ("canary as string", format!("\"{BODY_CANARY}\"")),
            ("an array", format!("[{good}]")),
            ("null", "null".to_owned()),
            ("a form", format!("token={BODY_CANARY}")),
            (
                "without end in depth",
                format!("{{\"publicKey\":{0},\"publicKeyRequest\":{0}", "[".repeat(20_000)),
            ),
            ("a control character", format!("{{\"{BODY_CANARY}\n\":1}}")),
            ("a byte order mark", format!("\u{feff}{good}")),
        ];
        for (name, body) in rows {
            refuse(&fixture, name, Sent::new(interface, body), MALFORMED).await;
        }
        let not_utf8 = [BODY_CANARY.as_bytes(), b"\xff\xfe"].concat();
        refuse(&fixture, "not UTF-8", Sent::new(interface, not_utf8), MALFORMED).await;
        let form = Sent::new(interface, format!("token={BODY_CANARY}"));
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        refuse(&fixture, "a form, and called one", form, MALFORMED).await;
    }
}

#[tokio::test]
async fn fields_of_the_wrong_type_or_given_twice_are_refused() {
    let fixture = Fixture::start().await;
    let canary = json!(BODY_CANARY);
    let v2 = |name, body: Value| (Interface::JsonV2, name, body.to_string());
    let v1 = |name, body: Value| (Interface::JsonV1, name, body.to_string());
    let twice = |interface, name, first: &str| {
        let good = good_json(interface);
        (interface, name, format!("{{{first},{}", &good[1..]))
    };
    let (json_v2, json_v1) = (Interface::JsonV2, Interface::JsonV1);
    for (interface, name, body) in [
        v2("credentials a string", json!({"credentials": canary})),
        v2(
            "token a list",
            json!({"credentials": {"oidcIdentityToken": [canary]}}),
        ),
        v2("token a number", json!({"credentials": {"oidcIdentityToken": 7}})),
        v2("key a string", json!({"publicKeyRequest": canary})),
        v2(
            "content true",
            json!({"publicKeyRequest": {"publicKey": {"content": true}}}),
        ),
        v2(
            "proof a list",
            json!({"publicKeyRequest": {"proofOfPossession": [canary]}}),
        ),
        v2(
            "proof no base64",
            json!({"publicKeyRequest": {"proofOfPossession": "ca~nary"}}),
        ),
        v2(
            "request an object",
            json!({"certificateSigningRequest": {BODY_CANARY: 1}}),
        ),
        v2(
            "request no base64",
            json!({"certificateSigningRequest": "-----BEGIN"}),
        ),
        v1("key a string", json!({"publicKey": canary})),
        v1("content a list", json!({"publicKey": {"content": [canary]}})),
        v1(
            "content no base64",
            json!({"publicKey": {"content": "-----BEGIN"}}),
        ),
        v1("proof a number", json!({"signedEmailAddress": 7})),
        v1("request a list", json!({"certificateSigningRequest": [canary]})),
        twice(json_v2, "key twice", r#""publicKeyRequest":null"#),
        twice(
            json_v2,
            "key twice, once in snake case",
            r#""public_key_request":null"#,
        ),
        twice(json_v2, "credentials twice", r#""credentials":null"#),
        twice(
            json_v2,
            "token twice",
            r#""credentials":{"oidcIdentityToken":"a","oidcIdentityToken":"b"}"#,
        ),
        twice(
            json_v2,
            "token twice, once in snake case",
            r#""credentials":{"oidcIdentityToken":"a","oidc_identity_token":"b"}"#,
        ),
        twice(
            json_v2,
            "request twice",
            r#""certificateSigningRequest":"","certificateSigningRequest":"""#,
        ),
        twice(json_v1, "key twice", r#""publicKey":null"#),
        twice(json_v1, "key twice, once in snake case", r#""public_key":null"#),
        twice(json_v1, "proof twice", r#""signedEmailAddress":null"#),
    ] {
        refuse(&fixture, name, Sent::new(interface, body), MALFORMED).await;
    }
}

#[tokio::test]
async fn two_keys_or_none_are_refused() {
    let fixture = Fixture::start().await;
    let csr = r#""certificateSigningRequest":"Y2FuYXJ5""#;
    for interface in [Interface::JsonV2, Interface::JsonV1] {
        let both = format!("{{{csr},{}", &good_json(interface)[1..]);
        for (name, body, reason) in [
            ("both", both, "key_ambiguous"),
            ("neither", "{}".to_owned(), "key_missing"),
            (
                "neither, but null",
                r#"{"certificateSigningRequest":null}"#.to_owned(),
                "key_missing",
            ),
            (
                "neither, but empty",
                r#"{"certificateSigningRequest":""}"#.to_owned(),
                "key_missing",
            ),
        ] {
            let refusal = Refusal(400, Code::InvalidArgument, reason);
            refuse(&fixture, name, Sent::new(interface, body), refusal).await;
        }
    }
    // A oneof (proto3): of two, the last one counts, and that one is refused for what it is.
    let key = good().message().encode_to_vec();
    let csr = CreateSigningCertificateRequest {
        credentials: None,
        key: Some(wire::Key::CertificateSigningRequest(BODY_CANARY.into())),
    };
    let empty_key = CreateSigningCertificateRequest {
        credentials: None,
        key: Some(wire::Key::PublicKeyRequest(PublicKeyRequest::default())),
    };
    for (name, message, reason) in [
        ("both", [key, csr.encode_to_vec()].concat(), "csr_malformed"),
        ("neither", Vec::new(), "key_missing"),
        ("an empty key", empty_key.encode_to_vec(), "key_missing"),
    ] {
        let refusal = Refusal(400, Code::InvalidArgument, reason);
        refuse(
            &fixture,
            name,
            Sent::new(Interface::Grpc, framed(&message)),
            refusal,
        )
        .await;
    }
}

#[tokio::test]
async fn a_message_that_is_none_is_refused() {
    let fixture = Fixture::start().await;
    for (name, body, refusal) in [
        ("no frame", Vec::new(), MALFORMED),
        ("half a frame", vec![0, 0], MALFORMED),
        ("canary alone", BODY_CANARY.into(), MALFORMED),
        ("no protobuf", framed(b"\xff\xff\xff\xff"), MALFORMED),
        ("canary for a message", framed(BODY_CANARY.as_bytes()), MALFORMED),
        ("wrong wire type", framed(b"\x08\x01"), MALFORMED),
        ("token no UTF-8", framed(b"\x0a\x04\x0a\x02\xff\xfe"), MALFORMED),
        (
            "shorter than declared",
            declared(0, 100, BODY_CANARY.as_bytes()),
            MALFORMED,
        ),
        ("compressed without saying how", declared(1, 1, b"\0"), MALFORMED),
        (
            "declares 4 GiB",
            declared(0, u32::MAX, BODY_CANARY.as_bytes()),
            TOO_LARGE,
        ),
        (
            "declares a byte too much",
            declared(0, 128 * 1024 + 1, b"\x0a"),
            TOO_LARGE,
        ),
        ("too large", framed(&vec![0; 128 * 1024 + 1]), TOO_LARGE),
        ("much too large", framed(&vec![0; 4 << 20]), TOO_LARGE),
    ] {
        refuse(&fixture, name, Sent::new(Interface::Grpc, body), refusal).await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_without_end_is_refused() {
    let fixture = Fixture::start().await;
    for interface in [Interface::JsonV2, Interface::JsonV1] {
        let good = good_json(interface);
        let padded = format!("{good}{}", " ".repeat(64 * 1024 + 1 - good.len()));
        refuse(
            &fixture,
            "a byte over 64 KiB",
            Sent::new(interface, padded),
            TOO_LARGE,
        )
        .await;
        refuse(&fixture, "without end", endless(interface), TOO_LARGE).await;
    }
    refuse(&fixture, "without end", endless(Interface::Grpc), TOO_LARGE).await;
    let dots = Ask::new(".".repeat(1_000_000), Key::good());
    for interface in [Interface::JsonV2, Interface::Grpc] {
        let sent = dots.over(interface).unwrap();
        fixture.refuse("a million dots", sent, TOO_LARGE, &[]).await;
    }
}

fn endless(interface: Interface) -> Sent {
    // Smaller frames of HTTP/2 end the connection before the size counts.
    let canary = Bytes::from(BODY_CANARY.repeat(100));
    let frames = stream::repeat_with(move || Ok::<_, Infallible>(Frame::data(canary.clone())));
    Sent::new(interface, reqwest::Body::wrap(StreamBody::new(frames)))
}

/// A request head may have 64 KiB; whoever sends more gets no further than the connection.
#[tokio::test]
async fn a_million_dots_in_a_header_are_refused() {
    let fixture = Fixture::start().await;
    for interface in [Interface::JsonV2, Interface::JsonV1] {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {CLAIM_CANARY}{}\r\n\r\n",
            interface.path(),
            ".".repeat(1_000_000)
        );
        let logged = LOG_OUTPUT.len();
        let mut stream = fixture.server.connect().await;
        // The server may close before it has read everything.
        drop(stream.write_all(head.as_bytes()).await);
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 ") && !answer.contains(CLAIM_CANARY),
            "{answer}"
        );
        fixture.assert_told_nothing("dots", logged, &[]).await;
        fixture.grant_good(interface).await;
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused_unread_and_messages_that_become_too_large() {
    let fixture = Fixture::start().await;
    let bomb = gzip_bomb();
    assert!(bomb.len() < 64 * 1024);
    for interface in [Interface::JsonV2, Interface::JsonV1] {
        for coding in ["gzip", "br", "deflate", "gzip, gzip"] {
            let sent = Sent::new(interface, bomb.clone()).header("content-encoding", coding);
            refuse(&fixture, coding, sent, COMPRESSED).await;
        }
        refuse(
            &fixture,
            "gzip unsaid",
            Sent::new(interface, bomb.clone()),
            MALFORMED,
        )
        .await;
    }
    let message = declared(1, u32::try_from(bomb.len()).unwrap(), &bomb);
    for (coding, refusal) in [
        ("gzip", TOO_LARGE),
        ("deflate", COMPRESSED_MESSAGE),
        ("gzip, gzip", COMPRESSED_MESSAGE),
    ] {
        let sent = Sent::new(Interface::Grpc, message.clone()).header("grpc-encoding", coding);
        refuse(&fixture, coding, sent, refusal).await;
    }
    refuse(
        &fixture,
        "gzip unsaid",
        Sent::new(Interface::Grpc, message),
        MALFORMED,
    )
    .await;
}

/// 8 MiB of zeros in 52 KB (RFC 1951, RFC 1952): one block of fixed codes, a literal 0 and then its repetitions.
fn gzip_bomb() -> Vec<u8> {
    let repetition = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    let bits = [1, 1, 0]
        .into_iter()
        .chain([0, 0, 1, 1, 0, 0, 0, 0])
        .chain(repetition.repeat(32_512))
        .chain([0; 7]);
    let bits: Vec<u8> = bits.collect();
    let bytes = bits
        .chunks(8)
        .map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit));
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
        .into_iter()
        .chain(bytes)
        .collect()
}

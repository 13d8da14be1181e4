//! Requests as clients make them, and as none should.

use der::{Any, Encode};
use x509_cert::ext::Extension;

use super::*;

fn request() -> TimeStampReq {
    TimeStampReq {
        version: Int::new(&[1]).unwrap(),
        message_imprint: MessageImprint {
            hash_algorithm: algorithm("sha256").unwrap(),
            hashed_message: OctetString::new([7; 32]).unwrap(),
        },
        req_policy: None,
        nonce: None,
        cert_req: false,
        extensions: None,
    }
}

fn read(request: &TimeStampReq) -> Result<Query, QueryError> {
    Query::from_der(&request.to_der().unwrap())
}

#[track_caller]
fn refused(request: &TimeStampReq, reason: &str, failure: FailureInfo) {
    let error = read(request).unwrap_err();
    assert_eq!((error.reason(), error.failure()), (reason, failure), "{error}");
}

fn an_extension(critical: bool) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new_unwrap("1.2.3.4"),
        critical,
        extn_value: OctetString::new([5, 0]).unwrap(),
    }
}

#[test]
fn every_field_is_read() {
    let mut asked = request();
    asked.req_policy = Some(ObjectIdentifier::new_unwrap("1.2.3"));
    asked.nonce = Some(Int::new(&[0x7f; 20]).unwrap());
    asked.cert_req = true;
    let query = read(&asked).unwrap();
    assert_eq!(query.imprint, asked.message_imprint);
    assert_eq!((query.policy, query.nonce), (asked.req_policy, asked.nonce));
    assert!(query.wants_certificates);

    let query = read(&request()).unwrap();
    assert_eq!(
        (query.policy, query.nonce, query.wants_certificates),
        (None, None, false)
    );
}

#[test]
fn the_request_of_openssl() {
    // openssl ts -query -digest 000102...1e1f -sha256 -cert
    let der = hex::decode(
        "30430201013031300d060960864801650304020105000420000102030405060708090a0b0c0d0e0f10111213141516171819\
         1a1b1c1d1e1f020809ed8ecab27307140101ff",
    )
    .unwrap();
    let query = Query::from_der(&der).unwrap();
    assert_eq!(hex::encode(query.nonce.unwrap().as_bytes()), "09ed8ecab2730714");
    let digest: Vec<u8> = (0..32).collect();
    assert_eq!(query.imprint.hashed_message.as_bytes(), digest);
    assert!(query.wants_certificates);
}

#[test]
fn each_algorithm_has_its_length_and_no_other() {
    for (name, _, length) in ALGORITHMS {
        for (digest, accepted) in [
            (length, true),
            (length - 1, false),
            (length + 1, false),
            (0, false),
        ] {
            let mut asked = request();
            asked.message_imprint.hash_algorithm = algorithm(name).unwrap();
            asked.message_imprint.hashed_message = OctetString::new(vec![1; digest]).unwrap();
            assert_eq!(read(&asked).is_ok(), accepted, "{name} {digest}");
            if !accepted {
                refused(&asked, "timestamp_digest_length", FailureInfo::BadDataFormat);
            }
        }
    }
}

#[test]
fn parameters_are_absent_or_null() {
    let mut asked = request();
    asked.message_imprint.hash_algorithm.parameters = Some(Any::null());
    let query = read(&asked).unwrap();
    assert!(
        query.imprint.hash_algorithm.parameters.is_some(),
        "repeated as they came"
    );
    asked.message_imprint.hash_algorithm.parameters = Some(Any::encode_from(&1_u8).unwrap());
    refused(
        &asked,
        "timestamp_algorithm_unsupported",
        FailureInfo::BadAlgorithm,
    );
}

#[test]
fn other_algorithms_are_refused() {
    let sha1 = ("1.3.14.3.2.26", 20);
    let sha3 = ("2.16.840.1.101.3.4.2.8", 32);
    for (oid, length) in [sha1, sha3, ("1.2.3", 32)] {
        let mut asked = request();
        asked.message_imprint.hash_algorithm.oid = ObjectIdentifier::new_unwrap(oid);
        asked.message_imprint.hashed_message = OctetString::new(vec![1; length]).unwrap();
        refused(
            &asked,
            "timestamp_algorithm_unsupported",
            FailureInfo::BadAlgorithm,
        );
    }
}

#[test]
fn other_versions_are_refused() {
    for version in [&[0][..], &[2], &[0xff], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
        let mut asked = request();
        asked.version = Int::new(version).unwrap();
        refused(&asked, "timestamp_version_unsupported", FailureInfo::BadRequest);
    }
}

#[test]
fn extensions_are_refused_critical_or_not() {
    for extensions in [vec![an_extension(true)], vec![an_extension(false)], Vec::new()] {
        let mut asked = request();
        asked.extensions = Some(extensions);
        refused(
            &asked,
            "timestamp_extension_unsupported",
            FailureInfo::UnacceptedExtension,
        );
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let good = request().to_der().unwrap();
    let mut trailing = good.clone();
    trailing.push(0);
    let mut bad: Vec<Vec<u8>> = vec![Vec::new(), vec![0x30, 0x80], b"{}".to_vec(), trailing];
    bad.extend((0..good.len()).map(|length| good[..length].to_vec()));
    // A length of 2^32 - 1.
    bad.push(vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
    for der in bad {
        let error = Query::from_der(&der).unwrap_err();
        assert_eq!(error.failure(), FailureInfo::BadDataFormat, "{der:02x?}: {error}");
    }
}

#[test]
fn json_of_sigstores_clients() {
    let digest = STANDARD.encode([7; 32]);
    let json = format!(r#"{{"artifactHash":"{digest}","hashAlgorithm":"sha256"}}"#);
    assert_eq!(
        Query::from_json(json.as_bytes()).unwrap(),
        read(&request()).unwrap()
    );

    let json = format!(
        r#"{{"artifactHash":"{digest}","hashAlgorithm":"SHA256","certificates":true,"nonce":123456789012345678901234567890,
            "tsaPolicyOID":"1.2.3","other":[1]}}"#
    );
    let query = Query::from_json(json.as_bytes()).unwrap();
    assert!(query.wants_certificates);
    assert_eq!(query.policy.unwrap().to_string(), "1.2.3");
    let nonce = BigInt::from_signed_bytes_be(query.nonce.unwrap().as_bytes());
    assert_eq!(nonce.to_string(), "123456789012345678901234567890");

    let json = format!(
        r#"{{"artifactHash":"{digest}","hashAlgorithm":"sha256","nonce":null,"certificates":null,"tsaPolicyOID":""}}"#
    );
    assert_eq!(
        Query::from_json(json.as_bytes()).unwrap(),
        read(&request()).unwrap()
    );
}

#[test]
fn json_that_is_refused() {
    let good = STANDARD.encode([7; 32]);
    let short = STANDARD.encode([7; 31]);
    let with = |more: &str| format!(r#"{{"artifactHash":"{good}","hashAlgorithm":"sha256"{more}}}"#);
    for (json, reason) in [
        (String::new(), "timestamp_query_malformed"),
        ("[]".to_owned(), "timestamp_query_malformed"),
        ("{}".to_owned(), "timestamp_algorithm_unsupported"),
        (
            r#"{"hashAlgorithm":"sha256"}"#.to_owned(),
            "timestamp_digest_length",
        ),
        (
            format!(r#"{{"artifactHash":"{good}","hashAlgorithm":"sha1"}}"#),
            "timestamp_algorithm_unsupported",
        ),
        (
            format!(r#"{{"artifactHash":"{short}","hashAlgorithm":"sha256"}}"#),
            "timestamp_digest_length",
        ),
        (
            r#"{"artifactHash":"*","hashAlgorithm":"sha256"}"#.to_owned(),
            "timestamp_query_malformed",
        ),
        (with(r#","nonce":"1""#), "timestamp_query_malformed"),
        (with(r#","nonce":1.5"#), "timestamp_query_malformed"),
        (with(r#","nonce":1e400"#), "timestamp_query_malformed"),
        (with(r#","certificates":1"#), "timestamp_query_malformed"),
        (with(r#","tsaPolicyOID":"x""#), "timestamp_query_malformed"),
        (with(r#","tsaPolicyOID":"9.9.9""#), "timestamp_query_malformed"),
        (with("}"), "timestamp_query_malformed"),
    ] {
        assert_eq!(
            Query::from_json(json.as_bytes()).unwrap_err().reason(),
            reason,
            "{json}"
        );
    }
}

#[test]
fn refusals_repeat_no_control_characters() {
    let digest = STANDARD.encode([7; 32]);
    for spoilt in ["\u{7f}", "\\n", "\\u001b[31m"] {
        let json =
            format!(r#"{{"artifactHash":"{digest}","hashAlgorithm":"sha256","tsaPolicyOID":"1.{spoilt}"}}"#);
        let error = Query::from_json(json.as_bytes()).unwrap_err();
        assert!(matches!(error, QueryError::Format(_)), "{error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}

#[test]
fn nonces_of_any_size_and_sign() {
    for nonce in [
        "0",
        "127",
        "128",
        "-1",
        "-129",
        "18446744073709551616",
        &"9".repeat(3000),
    ] {
        let digest = STANDARD.encode([7; 32]);
        let json = format!(r#"{{"artifactHash":"{digest}","hashAlgorithm":"sha256","nonce":{nonce}}}"#);
        let query = Query::from_json(json.as_bytes()).unwrap();
        let read = BigInt::from_signed_bytes_be(query.nonce.unwrap().as_bytes());
        assert_eq!(read.to_string(), nonce);
    }
}

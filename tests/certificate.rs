//! The certificate, field by field and byte by byte, as Fulcio's certificate specification and OID directory
//! want it. Identity bytes never change in a patch release: these expectations are not to be edited for one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "support/instance.rs"]
mod instance;

use std::path::Path;

use const_oid::db::{rfc5280, rfc6962};
use der::{Decode, Encode, asn1::ObjectIdentifier};
use instance::{Holder, Instance};
use mayfly::{issue::IssueRequest, issuer::IssuedCertificate, token::RawToken};
use serde_json::{Value, json};
use x509_cert::{
    Certificate, TbsCertificate,
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, SubjectAltName, SubjectKeyIdentifier, name::GeneralName},
    },
};

/// Issues for claims beside `iss`, `aud` and the times; the proof signs `sub`.
async fn issue(instance: &Instance, extra: Value) -> IssuedCertificate {
    let mut claims = instance.claims();
    for (name, value) in extra.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    let token = RawToken::new(instance.issuer_key.token(&claims));
    let proof = Holder::new().proof(claims["sub"].as_str().unwrap());
    instance
        .authority
        .issue(IssueRequest { token, proof })
        .await
        .unwrap()
}

fn tbs(issued: &IssuedCertificate) -> TbsCertificate {
    Certificate::from_der(issued.der())
        .unwrap()
        .tbs_certificate()
        .clone()
}

fn extensions(tbs: &TbsCertificate) -> &[Extension] {
    tbs.extensions().unwrap()
}

fn names(tbs: &TbsCertificate) -> Vec<GeneralName> {
    let (critical, SubjectAltName(names)) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    assert!(critical);
    names
}

fn utf8(text: &str) -> Vec<u8> {
    text.to_der().unwrap()
}

/// The value of `1.3.6.1.4.1.57264.1.{arc}`, as it stands in its OCTET STRING.
fn fulcio(tbs: &TbsCertificate, arc: u32) -> Option<Vec<u8>> {
    let oid = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1")
        .push_arc(arc)
        .unwrap();
    let found = extensions(tbs)
        .iter()
        .find(|extension| extension.extn_id == oid)?;
    assert!(!found.critical);
    Some(found.extn_value.as_bytes().to_vec())
}

#[tokio::test]
async fn an_email_certificate_has_exactly_the_profiles_extensions_in_order() {
    let instance = Instance::start().await;
    let tbs = tbs(&instance.issue().await.unwrap());

    let fulcio = |arc: u32| {
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1")
            .push_arc(arc)
            .unwrap()
    };
    let expected = [
        (rfc5280::ID_CE_KEY_USAGE, true),
        (rfc5280::ID_CE_EXT_KEY_USAGE, false),
        (rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false),
        (rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false),
        (rfc5280::ID_CE_SUBJECT_ALT_NAME, true),
        (fulcio(1), false),
        (fulcio(8), false),
        (fulcio(24), false),
        (rfc6962::CT_PRECERT_SCTS, false),
    ];
    let found: Vec<_> = extensions(&tbs).iter().map(|e| (e.extn_id, e.critical)).collect();
    assert_eq!(found, expected);
    // digitalSignature alone; codeSigning alone: the bytes of every Fulcio certificate.
    assert_eq!(
        extensions(&tbs)[0].extn_value.as_bytes(),
        [0x03, 0x02, 0x07, 0x80]
    );
    assert_eq!(
        extensions(&tbs)[1].extn_value.as_bytes(),
        [
            0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03
        ]
    );
    let [GeneralName::Rfc822Name(email)] = &names(&tbs)[..] else {
        panic!("not one email address")
    };
    assert_eq!(email.as_str(), "alice@example.com");
}

#[tokio::test]
async fn the_issuer_is_raw_in_1_and_der_in_8_and_the_subject_der_in_24() {
    let instance = Instance::start().await;
    let tbs = tbs(&instance.issue().await.unwrap());
    assert_eq!(fulcio(&tbs, 1).unwrap(), instance.issuer.url().as_bytes());
    assert_eq!(fulcio(&tbs, 8).unwrap(), utf8(instance.issuer.url()));
    assert_eq!(fulcio(&tbs, 24).unwrap(), utf8("alice"));
}

#[tokio::test]
async fn the_leaf_names_its_issuers_key() {
    let instance = Instance::start().await;
    let tbs = tbs(&instance.issue().await.unwrap());
    let issuing = instance
        .authority
        .signing()
        .issuer()
        .chain()
        .issuing()
        .tbs_certificate()
        .clone();
    let (_, authority) = tbs.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
    let (_, SubjectKeyIdentifier(subject)) =
        issuing.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
    assert_eq!(authority.key_identifier.unwrap(), subject);
    assert_eq!(tbs.issuer(), issuing.subject());
}

#[tokio::test]
async fn a_username_is_an_other_name() {
    let instance = Instance::start_with(|wishes| {
        wishes.rule = "type: username\nsubject-domain: 127.0.0.1".to_owned();
    })
    .await;
    let tbs = tbs(&issue(&instance, json!({"email": null, "email_verified": null})).await);
    let [GeneralName::OtherName(name)] = &names(&tbs)[..] else {
        panic!("not one other name")
    };
    assert_eq!(name.type_id.to_string(), "1.3.6.1.4.1.57264.1.7");
    assert_eq!(name.value.to_der().unwrap(), utf8("alice!127.0.0.1"));
}

#[tokio::test]
async fn a_uri_is_a_uri() {
    let instance = Instance::start_with(|wishes| {
        wishes.rule = "type: uri\nsubject-domain: http://127.0.0.1".to_owned();
    })
    .await;
    let subject = "http://127.0.0.1/users/1";
    let tbs = tbs(&issue(&instance, json!({"sub": subject, "email": null})).await);
    let [GeneralName::UniformResourceIdentifier(uri)] = &names(&tbs)[..] else {
        panic!("not one URI")
    };
    assert_eq!(uri.as_str(), subject);
}

#[tokio::test]
async fn a_github_workflow_fills_every_extension_that_fulcio_fills() {
    let example = std::fs::read_to_string(Path::new("config/issuers.yaml")).unwrap();
    let (_, metadata) = example.split_once("ci-issuer-metadata:").unwrap();
    let instance = Instance::start_with(|wishes| {
        wishes.rule = "type: ci-provider\nci-provider: github-workflow".to_owned();
        wishes.metadata = format!("ci-issuer-metadata:{metadata}");
    })
    .await;
    let subject = "repo:acme/widget:ref:refs/heads/main";
    let workflow = "acme/widget/.github/workflows/release.yml@refs/heads/main";
    let claims = json!({
        "sub": subject, "email": null, "email_verified": null,
        "event_name": "push", "sha": "a1b2c3", "workflow": "release", "repository": "acme/widget",
        "ref": "refs/heads/main", "job_workflow_ref": workflow, "job_workflow_sha": "d4e5f6",
        "runner_environment": "github-hosted", "repository_id": "1296269", "repository_owner": "acme",
        "repository_owner_id": "583231", "workflow_ref": workflow, "workflow_sha": "a7b8c9",
        "run_id": "1234", "run_attempt": "2", "repository_visibility": "public", "environment": "production",
    });
    let tbs = tbs(&issue(&instance, claims).await);

    let [GeneralName::UniformResourceIdentifier(uri)] = &names(&tbs)[..] else {
        panic!("not one URI")
    };
    assert_eq!(uri.as_str(), format!("https://github.com/{workflow}"));
    for (arc, value) in [
        (2, "push"),
        (3, "a1b2c3"),
        (4, "release"),
        (5, "acme/widget"),
        (6, "refs/heads/main"),
    ] {
        assert_eq!(fulcio(&tbs, arc).unwrap(), value.as_bytes(), ".{arc} is raw");
    }
    let build = format!("https://github.com/{workflow}");
    for (arc, value) in [
        (9, build.as_str()),
        (10, "d4e5f6"),
        (11, "github-hosted"),
        (12, "https://github.com/acme/widget"),
        (13, "a1b2c3"),
        (14, "refs/heads/main"),
        (15, "1296269"),
        (16, "https://github.com/acme"),
        (17, "583231"),
        (18, build.as_str()),
        (19, "a7b8c9"),
        (20, "push"),
        (21, "https://github.com/acme/widget/actions/runs/1234/attempts/2"),
        (22, "public"),
        (23, "production"),
        (24, subject),
    ] {
        assert_eq!(fulcio(&tbs, arc).unwrap(), utf8(value), ".{arc} is a UTF8String");
    }
    assert_eq!(extensions(&tbs).len(), 5 + 23 + 1, "and there is no other");
}

//! Tokens, taken apart by hand.

use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use cms::{content_info::ContentInfo, signed_data::SignedData};
use const_oid::db::rfc5911::{ID_AA_SIGNING_CERTIFICATE_V_2, ID_MESSAGE_DIGEST, ID_SIGNING_TIME};
use der::asn1::OctetString;

use super::{
    rfc3161::{SigningCertificateV2, TimeStampReq},
    *,
};
use crate::{
    clock::{Clock, SystemClock},
    issuer::ceremony::{KeyKind, NewAuthority, TimestampNames, generate_timestamp_authority},
    key::{SignatureFuture, SoftwareKey},
};

async fn new_authority(kind: KeyKind) -> NewAuthority {
    let names = TimestampNames::of("Acme", "Acme").unwrap();
    generate_timestamp_authority(names, kind, SystemClock.now())
        .await
        .unwrap()
}

async fn open(new: &NewAuthority, clock: WatchedClock) -> TimestampAuthority {
    let chain = TimestampChain::from_der(new.chain.clone(), SystemClock.now()).unwrap();
    let key = Arc::new(SoftwareKey::from_pkcs8_der(&new.key).unwrap());
    let signer = TimestampSigner::new(key, chain, DEFAULT_POLICY).await.unwrap();
    TimestampAuthority::new(signer, clock)
}

async fn authority() -> TimestampAuthority {
    open(
        &new_authority(KeyKind::EcdsaP256).await,
        WatchedClock::of_this_machine(),
    )
    .await
}

fn query(json_more: &str) -> Query {
    let json = format!(
        r#"{{"artifactHash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","hashAlgorithm":"sha256"{json_more}}}"#
    );
    Query::from_json(json.as_bytes()).unwrap()
}

struct Taken {
    signed: SignedData,
    info: TstInfo,
    content: Vec<u8>,
}

fn take_apart(response: &[u8]) -> Taken {
    let response = TimeStampResp::from_der(response).unwrap();
    assert_eq!(response.status.status, GRANTED);
    let ContentInfo { content, .. } = response.time_stamp_token.unwrap();
    let signed: SignedData = content.decode_as().unwrap();
    let content = signed.encap_content_info.econtent.clone().unwrap();
    let content = content.decode_as::<OctetString>().unwrap().into_bytes().to_vec();
    Taken {
        info: TstInfo::from_der(&content).unwrap(),
        signed,
        content,
    }
}

/// The value of a signed attribute, DER.
fn attribute(signed: &SignedData, oid: ObjectIdentifier) -> Vec<u8> {
    let signer = signed.signer_infos.0.get(0).unwrap();
    let attributes = signer.signed_attrs.clone().unwrap();
    let attribute = attributes.iter().find(|attribute| attribute.oid == oid).unwrap();
    attribute.values.get(0).unwrap().to_der().unwrap()
}

#[tokio::test]
async fn tokens_verify_with_every_kind_of_key() {
    for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa4096] {
        let new = new_authority(kind).await;
        let authority = open(&new, WatchedClock::of_this_machine()).await;
        let taken = take_apart(&authority.stamp(&query("")).await.unwrap());
        let signer = taken.signed.signer_infos.0.get(0).unwrap();

        let signed_attributes = signer.signed_attrs.clone().unwrap().to_der().unwrap();
        let TimestampSigner { key, .. } = &*authority.signer();
        let public = SubjectPublicKeyInfoRef::from_der(key.spki_der()).unwrap();
        let algorithm = key.algorithm();
        assert!(algorithm.verifies(&public, &signed_attributes, signer.signature.as_bytes()));
        let digested = OctetString::from_der(&attribute(&taken.signed, ID_MESSAGE_DIGEST)).unwrap();
        assert_eq!(digested.as_bytes(), algorithm.digest(&taken.content).as_ref());

        let named = attribute(&taken.signed, ID_AA_SIGNING_CERTIFICATE_V_2);
        let named = SigningCertificateV2::from_der(&named).unwrap();
        let hash = digest(&SHA256, &new.chain[0]);
        assert_eq!(named.certs[0].cert_hash.as_bytes(), hash.as_ref());
        let signing_time = attribute(&taken.signed, ID_SIGNING_TIME);
        let signing_time = x509_cert::time::Time::from_der(&signing_time).unwrap();
        assert_eq!(
            signing_time.to_unix_duration(),
            taken.info.gen_time.to_unix_duration()
        );
    }
}

#[tokio::test]
async fn the_answer_repeats_the_question() {
    let authority = authority().await;
    let asked = query(r#","nonce":-12345678901234567890"#);
    let info = take_apart(&authority.stamp(&asked).await.unwrap()).info;
    assert_eq!(
        (&info.message_imprint, &info.nonce),
        (&asked.imprint, &asked.nonce)
    );
    assert_eq!(
        (info.version, info.policy, info.ordering),
        (1, DEFAULT_POLICY, false)
    );
    assert_eq!(info.accuracy.seconds, 1);
    let off = info
        .gen_time
        .to_unix_duration()
        .abs_diff(SystemClock.now().since_epoch());
    assert!(off < Duration::from_secs(5), "{off:?}");
    let bits = info.serial_number.as_bytes().len() * 8;
    assert!((64..=160).contains(&bits) && info.serial_number.as_bytes()[0] < 0x80);

    let without = take_apart(&authority.stamp(&query("")).await.unwrap()).info;
    assert_eq!(without.nonce, None);
    assert_ne!(without.serial_number, info.serial_number);
}

#[tokio::test]
async fn certificates_only_if_asked_for() {
    let authority = authority().await;
    let without = take_apart(&authority.stamp(&query("")).await.unwrap());
    assert!(without.signed.certificates.is_none());
    let with = authority.stamp(&query(r#","certificates":true"#)).await.unwrap();
    let certificates = take_apart(&with).signed.certificates.unwrap().0;
    let certificates: Vec<_> = certificates.iter().map(|der| der.to_der().unwrap()).collect();
    assert_eq!(certificates, authority.signer().chain().der()[..1]);
}

#[tokio::test]
async fn one_policy_and_no_other() {
    let authority = authority().await;
    let same = query(r#","tsaPolicyOID":"1.3.6.1.4.1.57264.2""#);
    authority.stamp(&same).await.unwrap();
    let refused = authority
        .stamp(&query(r#","tsaPolicyOID":"1.2.3""#))
        .await
        .unwrap_err();
    assert!(matches!(refused, TimestampError::Query(QueryError::Policy)));
    assert_eq!(refused.failure(), FailureInfo::UnacceptedPolicy);
}

/// A wall clock that is moved by hand, in milliseconds, beside a steady one that stands.
struct Hand(Mutex<u64>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(Duration::from_millis(*self.0.lock().unwrap()))
    }
}

#[tokio::test]
async fn times_are_rounded_and_refused_once_the_clock_was_set() {
    let new = new_authority(KeyKind::EcdsaP256).await;
    let second = SystemClock.now().unix_seconds() + 10;
    let hand = Arc::new(Hand(Mutex::new(second * 1000)));
    let wall: Arc<dyn Clock> = hand.clone();
    let clock = WatchedClock::new(wall, Arc::new(|| Duration::ZERO));
    let authority = open(&new, clock).await;
    for (millis, expected) in [(0, second), (499, second), (500, second + 1), (999, second + 1)] {
        *hand.0.lock().unwrap() = second * 1000 + millis;
        let info = take_apart(&authority.stamp(&query("")).await.unwrap()).info;
        assert_eq!(info.gen_time.to_unix_duration().as_secs(), expected, "{millis}");
    }
    for set_to in [second * 1000 - 3_600_000, second * 1000 + 3_600_000] {
        *hand.0.lock().unwrap() = set_to;
        let refused = authority.stamp(&query("")).await.unwrap_err();
        assert!(matches!(refused, TimestampError::Clock(_)));
        assert_eq!(refused.failure(), FailureInfo::TimeNotAvailable);
    }
}

#[tokio::test]
async fn no_times_outside_the_certificates_lives() {
    let new = new_authority(KeyKind::EcdsaP256).await;
    let end = SystemClock
        .now()
        .plus(crate::issuer::ceremony::LIFETIME)
        .since_epoch();
    for out in [end + Duration::from_secs(5), Duration::from_secs(1_000_000_000)] {
        let hand = Arc::new(Hand(Mutex::new(u64::try_from(out.as_millis()).unwrap())));
        let authority = open(&new, WatchedClock::new(hand, Arc::new(|| Duration::ZERO))).await;
        let refused = authority.stamp(&query("")).await.unwrap_err();
        assert!(matches!(refused, TimestampError::CertificatesNotValid));
        assert_eq!(refused.failure(), FailureInfo::SystemFailure);
    }
}

/// A key that was there at the start.
struct Gone {
    key: SoftwareKey,
    left: Mutex<u32>,
}

impl SigningKey for Gone {
    fn spki_der(&self) -> &[u8] {
        self.key.spki_der()
    }

    fn algorithm(&self) -> crate::key::SignatureAlgorithm {
        self.key.algorithm()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 {
            return Box::pin(std::future::ready(Err(KeyError::new(std::io::Error::other(
                "gone",
            )))));
        }
        *left -= 1;
        self.key.sign(message)
    }
}

#[tokio::test]
async fn keys_that_do_not_fit_or_do_not_sign() {
    let (one, other) = (
        new_authority(KeyKind::EcdsaP256).await,
        new_authority(KeyKind::EcdsaP256).await,
    );
    let now = SystemClock.now();
    let chain = || TimestampChain::from_der(one.chain.clone(), now).unwrap();
    let stranger = Arc::new(SoftwareKey::from_pkcs8_der(&other.key).unwrap());
    let refused = TimestampSigner::new(stranger, chain(), DEFAULT_POLICY).await;
    assert!(matches!(refused, Err(TimestampError::KeyMismatch)));

    let gone = |left| {
        Arc::new(Gone {
            key: SoftwareKey::from_pkcs8_der(&one.key).unwrap(),
            left: Mutex::new(left),
        })
    };
    let refused = TimestampSigner::new(gone(0), chain(), DEFAULT_POLICY).await;
    assert!(matches!(refused, Err(TimestampError::Key(_))));
    let signer = TimestampSigner::new(gone(1), chain(), DEFAULT_POLICY).await;
    let authority = TimestampAuthority::new(signer.unwrap(), WatchedClock::of_this_machine());
    let refused = authority.stamp(&query("")).await.unwrap_err();
    assert!(matches!(refused, TimestampError::Key(_)));
}

#[test]
fn refusals_have_one_bit_and_words() {
    for (failure, bits) in [
        (FailureInfo::BadAlgorithm, "03020780"),
        (FailureInfo::BadRequest, "03020520"),
        (FailureInfo::BadDataFormat, "03020204"),
        (FailureInfo::TimeNotAvailable, "0303010002"),
        (FailureInfo::UnacceptedPolicy, "0303000001"),
        (FailureInfo::UnacceptedExtension, "030407000080"),
        (FailureInfo::SystemFailure, "03050600000040"),
    ] {
        let der = refusal(failure, "why").unwrap();
        let read = TimeStampResp::from_der(&der).unwrap();
        assert_eq!(read.status.status, REJECTION);
        assert_eq!(read.status.status_string.unwrap(), ["why"]);
        assert_eq!(
            hex::encode(read.status.fail_info.unwrap().to_der().unwrap()),
            bits
        );
        assert!(read.time_stamp_token.is_none());
    }
}

#[test]
fn a_request_of_ours_is_one_of_theirs() {
    let request = TimeStampReq {
        version: der::asn1::Int::new(&[1]).unwrap(),
        message_imprint: query("").imprint,
        req_policy: None,
        nonce: None,
        cert_req: false,
        extensions: None,
    };
    assert_eq!(Query::from_der(&request.to_der().unwrap()).unwrap(), query(""));
}

//! Chains on which no times are signed.

use rcgen::{
    BasicConstraints as Constraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    issuer::ceremony::{KeyKind, TimestampNames, generate_timestamp_authority},
};

/// DER of extKeyUsage with these, of `1.3.6.1.5.5.7.3`.
fn usages(last_arcs: &[u8]) -> CustomExtension {
    let oids = last_arcs
        .iter()
        .flat_map(|arc| [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, *arc]);
    let oids: Vec<u8> = oids.collect();
    let mut der = vec![0x30, u8::try_from(oids.len()).unwrap()];
    der.extend(oids);
    CustomExtension::from_oid_content(&[2, 5, 29, 37], der)
}

const TIME_STAMPING: u8 = 8;
const CODE_SIGNING: u8 = 3;

fn critical(mut extension: CustomExtension) -> CustomExtension {
    extension.set_criticality(true);
    extension
}

fn leaf() -> CertificateParams {
    let mut leaf = CertificateParams::default();
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.custom_extensions = vec![critical(usages(&[TIME_STAMPING]))];
    leaf
}

fn authority() -> CertificateParams {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(Constraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
}

/// The leaf under the root.
fn chain(leaf: &CertificateParams, root: CertificateParams) -> Vec<Vec<u8>> {
    let (leaf_key, root_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
    let issuer = Issuer::new(root, root_key);
    vec![
        leaf.signed_by(&leaf_key, &issuer).unwrap().der().to_vec(),
        root_der,
    ]
}

fn check(der: Vec<Vec<u8>>) -> Result<TimestampChain, TimestampChainError> {
    TimestampChain::from_der(der, SystemClock.now())
}

#[tokio::test]
async fn what_the_ceremony_makes_is_accepted_until_it_expires() {
    let names = TimestampNames::of("Acme", "Acme").unwrap();
    let now = SystemClock.now();
    let new = generate_timestamp_authority(names, KeyKind::EcdsaP384, now)
        .await
        .unwrap();
    let chain = check(new.chain.clone()).unwrap();
    let again = TimestampChain::from_pem(chain.to_pem().as_bytes(), now).unwrap();
    assert_eq!(again.der(), new.chain);
    assert_eq!(again.below_the_root().len(), 1);

    let later = now
        .plus(crate::issuer::ceremony::LIFETIME)
        .plus(Duration::from_secs(2));
    let expired = TimestampChain::from_der(new.chain.clone(), later);
    assert!(matches!(
        expired,
        Err(TimestampChainError::Chain(ChainError::Expired { .. }))
    ));
    let earlier = TimestampChain::from_der(new.chain, now.minus(Duration::from_secs(2)));
    assert!(matches!(
        earlier,
        Err(TimestampChainError::Chain(ChainError::NotYetValid { .. }))
    ));
}

#[test]
fn chains_that_are_none() {
    let good = chain(&leaf(), authority());
    let other = chain(&leaf(), authority());
    check(good.clone()).unwrap();
    assert!(matches!(check(Vec::new()), Err(TimestampChainError::TooShort)));
    assert!(matches!(
        check(good[..1].to_vec()),
        Err(TimestampChainError::TooShort)
    ));
    for wrong in [
        vec![good[0].clone(), other[1].clone()],
        vec![good[1].clone(), good[0].clone()],
        vec![good[0].clone(), b"no certificate".to_vec()],
    ] {
        assert!(matches!(check(wrong), Err(TimestampChainError::Chain(_))));
    }
    let garbage = TimestampChain::from_pem(b"-----BEGIN", SystemClock.now());
    assert!(matches!(
        garbage,
        Err(TimestampChainError::Chain(ChainError::NotPem))
    ));
}

#[test]
fn the_first_certificate_is_for_timestamping_alone() {
    let mut plain = leaf();
    plain.custom_extensions.clear();
    let mut not_critical = leaf();
    not_critical.custom_extensions = vec![usages(&[TIME_STAMPING])];
    let mut more = leaf();
    more.custom_extensions = vec![critical(usages(&[TIME_STAMPING, CODE_SIGNING]))];
    let mut other = leaf();
    other.custom_extensions = vec![critical(usages(&[CODE_SIGNING]))];
    for leaf in [plain, not_critical, more, other] {
        let refused = check(chain(&leaf, authority()));
        assert!(
            matches!(refused, Err(TimestampChainError::NotForTimestamping)),
            "{refused:?}"
        );
    }

    let mut is_authority = leaf();
    is_authority.is_ca = IsCa::Ca(Constraints::Unconstrained);
    let refused = check(chain(&is_authority, authority()));
    assert!(matches!(refused, Err(TimestampChainError::Authority)));

    let mut usage = leaf();
    usage.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let refused = check(chain(&usage, authority()));
    assert!(matches!(refused, Err(TimestampChainError::KeyUsage)));
}

#[test]
fn a_ca_for_other_purposes_is_refused() {
    let mut root = authority();
    root.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let refused = check(chain(&leaf(), root));
    assert!(matches!(
        refused,
        Err(TimestampChainError::UsagesDoNotChain { at: 1 })
    ));

    let mut root = authority();
    root.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
    check(chain(&leaf(), root)).unwrap();

    let mut no_authority = authority();
    no_authority.is_ca = IsCa::ExplicitNoCa;
    let refused = check(chain(&leaf(), no_authority));
    assert!(matches!(
        refused,
        Err(TimestampChainError::Chain(ChainError::NotAnAuthority { at: 1 }))
    ));
}

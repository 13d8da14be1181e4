//! Which chains the log takes, and the exact bytes it makes of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use ct_log::chain::{AcceptedChain, ChainError, Endpoint, Policy, PolicyError};
use ct_log::{Entry, Window};
use der::asn1::Any;
use der::{Decode, Encode, Tag, Tagged};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PKCS_RSA_SHA384, PKCS_RSA_SHA512, RsaKeySize, date_time_ymd,
};
use support::{Ca, Pki, ca_params, leaf_params, p256_key, poison, poison_with, precertificate_params};
use x509_cert::Certificate;

const PRECERT_SIGNING: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 4];

fn policy(root: &Ca) -> Policy {
    Policy::new([root.der().as_slice()]).unwrap()
}

fn pre(pki: &Pki, chain: &[Vec<u8>]) -> Result<AcceptedChain, ChainError> {
    policy(&pki.root).accept(chain, Endpoint::AddPreChain)
}

fn tbs(certificate: &[u8]) -> Vec<u8> {
    Certificate::from_der(certificate)
        .unwrap()
        .tbs_certificate()
        .to_der()
        .unwrap()
}

#[test]
fn tbs_is_that_of_the_same_certificate_without_poison() {
    let (pki, key) = (Pki::new(), p256_key());
    // More than 127 bytes of extensions, and so many that removing the poison changes a length's length.
    for padding in 0..140 {
        let mut certificate = leaf_params(7);
        certificate
            .custom_extensions
            .push(CustomExtension::from_oid_content(&[1, 2, 3], vec![0x04; padding]));
        let mut precertificate = certificate.clone();
        precertificate.custom_extensions.insert(0, poison());
        let submitted = pki.intermediate.issue_for(&precertificate, &key);
        let accepted = pre(&pki, &[vec![submitted.clone()], pki.issuers()].concat()).unwrap();
        let expected = Entry::Precertificate {
            issuer_key_hash: issuer_key_hash(&pki.intermediate.der()),
            tbs: tbs(&pki.intermediate.issue_for(&certificate, &key)),
            precertificate: submitted,
        };
        assert_eq!(*accepted.entry(), expected);
    }
}

fn issuer_key_hash(issuer: &[u8]) -> [u8; 32] {
    let issuer = Certificate::from_der(issuer).unwrap();
    let spki = issuer
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .unwrap();
    digest(&SHA256, &spki).as_ref().try_into().unwrap()
}

#[test]
fn certificate_is_logged_as_submitted() {
    let pki = Pki::new();
    let chain = pki.chain(&leaf_params(1));
    let accepted = policy(&pki.root).accept(&chain, Endpoint::AddChain).unwrap();
    assert_eq!(
        *accepted.entry(),
        Entry::Certificate {
            der: chain[0].clone()
        }
    );
    assert_eq!(accepted.issuers(), pki.issuers());
}

#[test]
fn known_issuers_may_be_left_out() {
    let pki = Pki::new();
    let (root, intermediate) = (pki.root.der(), pki.intermediate.der());
    let chain = pki.chain(&precertificate_params(1));
    let without_root = pre(&pki, &chain[..2]).unwrap();
    assert_eq!(without_root.issuers(), pki.issuers());
    assert!(matches!(pre(&pki, &chain[..1]), Err(ChainError::NoPathToRoot)));
    let policy = Policy::new([intermediate.as_slice(), root.as_slice()]).unwrap();
    let alone = policy.accept(&chain[..1], Endpoint::AddPreChain).unwrap();
    assert_eq!(alone.issuers(), pki.issuers());
    assert_eq!(policy.roots().collect::<Vec<_>>(), [root]);
}

#[test]
fn root_may_issue_directly() {
    let pki = Pki::new();
    let chain = [pki.root.issue(&precertificate_params(1))];
    assert_eq!(pre(&pki, &chain).unwrap().issuers(), [pki.root.der()]);
}

#[test]
fn signature_algorithms_of_common_authorities() {
    let rsa = |algorithm| KeyPair::generate_rsa_for(algorithm, RsaKeySize::_2048).unwrap();
    let accepted = [
        support::key(&PKCS_ECDSA_P256_SHA256),
        support::key(&PKCS_ECDSA_P384_SHA384),
        rsa(&PKCS_RSA_SHA256),
        rsa(&PKCS_RSA_SHA384),
        rsa(&PKCS_RSA_SHA512),
    ];
    for key in accepted {
        let root = Ca::root_with("Root", key);
        let chain = [root.issue(&precertificate_params(1)), root.der()];
        policy(&root).accept(&chain, Endpoint::AddPreChain).unwrap();
    }
    let ed25519 = Ca::root_with("Root", support::key(&PKCS_ED25519));
    assert!(matches!(
        Policy::new([ed25519.der().as_slice()]),
        Err(PolicyError::NoRoot)
    ));
}

/// One flipped bit anywhere in a submitted chain is refused: nothing in it is unauthenticated.
#[test]
fn every_flipped_byte_of_a_chain_is_refused() {
    let pki = Pki::new();
    let policy = policy(&pki.root);
    let chain = pki.chain(&precertificate_params(1));
    for certificate in 0..chain.len() {
        for byte in 0..chain[certificate].len() {
            let mut chain = chain.clone();
            chain[certificate][byte] ^= 1;
            let result = policy.accept(&chain, Endpoint::AddPreChain);
            assert!(result.is_err(), "certificate {certificate}, byte {byte}");
        }
    }
}

#[test]
fn poison_decides_the_endpoint() {
    let pki = Pki::new();
    let accept =
        |params: &CertificateParams, endpoint| policy(&pki.root).accept(&pki.chain(params), endpoint);
    let wrong = accept(&precertificate_params(1), Endpoint::AddChain);
    assert!(matches!(wrong, Err(ChainError::Precertificate)));
    let wrong = accept(&leaf_params(1), Endpoint::AddPreChain);
    assert!(matches!(wrong, Err(ChainError::NotPrecertificate)));
}

#[test]
fn malformed_poison_is_refused_by_both_endpoints() {
    let pki = Pki::new();
    for poisons in [
        vec![poison_with(false, &[5, 0])],
        vec![poison_with(true, &[])],
        vec![poison_with(true, &[4, 0])],
        vec![poison_with(true, &[5, 0, 0])],
        vec![poison(), poison()],
        vec![poison(), poison_with(false, &[5, 0])],
    ] {
        let mut params = leaf_params(1);
        params.custom_extensions = poisons;
        for endpoint in [Endpoint::AddChain, Endpoint::AddPreChain] {
            let refused = policy(&pki.root).accept(&pki.chain(&params), endpoint);
            assert!(
                matches!(refused, Err(ChainError::Poison)),
                "{:?}",
                params.custom_extensions
            );
        }
    }
}

#[test]
fn leaf_must_be_an_end_entity_for_code_signing() {
    let pki = Pki::new();
    let refusal = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = precertificate_params(1);
        change(&mut params);
        pre(&pki, &pki.chain(&params)).unwrap_err()
    };
    let ca = refusal(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(matches!(ca, ChainError::LeafIsCa));
    let none = refusal(&|params| params.extended_key_usages.clear());
    assert!(matches!(none, ChainError::NotCodeSigning));
    for purpose in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any] {
        let other = refusal(&|params| params.extended_key_usages = vec![purpose.clone()]);
        assert!(matches!(other, ChainError::NotCodeSigning));
    }
}

#[test]
fn issuers_must_be_allowed_to_issue() {
    let pki = Pki::new();
    let refusal = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = ca_params("Issuer");
        change(&mut params);
        let issuer = pki.root.issue_ca(params);
        let chain = [
            issuer.issue(&precertificate_params(1)),
            issuer.der(),
            pki.root.der(),
        ];
        pre(&pki, &chain).err()
    };
    assert!(refusal(&|_| ()).is_none(), "the unchanged issuer is fine");
    let refusals: [&dyn Fn(&mut CertificateParams); 4] = [
        &|params| params.is_ca = IsCa::ExplicitNoCa,
        &|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
        &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        &|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(PRECERT_SIGNING.to_vec())];
        },
    ];
    for change in refusals {
        assert!(matches!(
            refusal(change),
            Some(ChainError::MayNotIssue { position: 1 })
        ));
    }
}

#[test]
fn path_length_counts_the_authorities_below() {
    let root = Ca::root("Root");
    let limited = |limit| {
        let mut params = ca_params("Limited");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(limit));
        let limited = root.issue_ca(params);
        let below = limited.intermediate("Below");
        let chain = [
            below.issue(&precertificate_params(1)),
            below.der(),
            limited.der(),
            root.der(),
        ];
        policy(&root).accept(&chain, Endpoint::AddPreChain)
    };
    assert!(limited(1).is_ok());
    assert!(matches!(limited(0), Err(ChainError::MayNotIssue { position: 2 })));
}

#[test]
fn chain_must_be_one_path_in_order() {
    let (pki, other) = (Pki::new(), Pki::new());
    let chain = pki.chain(&precertificate_params(1));
    let [leaf, intermediate, root] = [chain[0].clone(), chain[1].clone(), chain[2].clone()];
    let refused = |chain: &[&Vec<u8>]| {
        let chain: Vec<Vec<u8>> = chain.iter().copied().cloned().collect();
        pre(&pki, &chain).unwrap_err()
    };
    assert!(matches!(refused(&[]), ChainError::Empty));
    assert!(matches!(
        refused(&[&intermediate, &root]),
        ChainError::NotPrecertificate
    ));
    assert!(matches!(
        refused(&[&leaf, &root]),
        ChainError::NotIssuedByNext { position: 0 }
    ));
    assert!(matches!(
        refused(&[&leaf, &root, &intermediate]),
        ChainError::NotIssuedByNext { position: 0 }
    ));
    assert!(matches!(
        refused(&[&leaf, &intermediate, &root, &root]),
        ChainError::Repeated { position: 3 }
    ));
    assert!(matches!(
        refused(&[&leaf, &intermediate, &root, &root, &root]),
        ChainError::TooLong
    ));
    // The same names, but other keys.
    let foreign = other.chain(&precertificate_params(1));
    assert!(matches!(pre(&pki, &foreign), Err(ChainError::NoPathToRoot)));
    let mixed = [foreign[0].clone(), intermediate, root];
    assert!(matches!(
        pre(&pki, &mixed),
        Err(ChainError::NotIssuedByNext { position: 0 })
    ));
}

#[test]
fn chain_longer_than_the_limit_once_completed_is_refused() {
    let root = Ca::root("Root");
    let first = root.intermediate("1");
    let second = first.intermediate("2");
    let third = second.intermediate("3");
    let chain = [third.issue(&precertificate_params(1)), third.der()];
    let known = [root.der(), first.der(), second.der()];
    let policy = Policy::new(known.iter().map(Vec::as_slice)).unwrap();
    assert!(matches!(
        policy.accept(&chain, Endpoint::AddPreChain),
        Err(ChainError::TooLong)
    ));
}

#[test]
fn certificates_must_be_whole_and_nothing_else() {
    let pki = Pki::new();
    let chain = pki.chain(&precertificate_params(1));
    let with = |leaf: &[u8]| pre(&pki, &[vec![leaf.to_vec()], pki.issuers()].concat()).unwrap_err();
    let (mut longer, shorter) = (chain[0].clone(), &chain[0][..chain[0].len() - 1]);
    longer.push(0);
    for leaf in [b"".as_slice(), b"\0", b"\x30\x00", b"not DER", &longer, shorter] {
        assert!(matches!(with(leaf), ChainError::Unparsable { position: 0, .. }));
    }
    // BER: the same certificate with a length in more bytes than it needs.
    let mut ber = vec![0x30, 0x83, 0x00];
    ber.extend_from_slice(&chain[0][2..]);
    assert!(with(&ber).to_string().contains("certificate 0"));
}

/// The parser takes a default value that is spelt out, but what is signed would then depend on the reader.
#[test]
fn certificates_must_be_canonical() {
    let pki = Pki::new();
    let chain = pki.chain(&precertificate_params(1));
    let mut certificate = Vec::<Any>::from_der(&chain[0]).unwrap();
    let mut fields: Vec<Any> = certificate[0].decode_as().unwrap();
    let mut extensions = Vec::<Vec<Any>>::from_der(fields.last().unwrap().value()).unwrap();
    let not_critical = extensions
        .iter_mut()
        .find(|extension| extension.len() == 2)
        .unwrap();
    not_critical.insert(1, Any::new(Tag::Boolean, [0]).unwrap());
    let tag = fields.pop().unwrap().tag();
    fields.push(Any::new(tag, extensions.to_der().unwrap()).unwrap());
    certificate[0] = Any::encode_from(&fields).unwrap();
    let chain = [vec![certificate.to_der().unwrap()], pki.issuers()].concat();
    assert!(matches!(
        pre(&pki, &chain),
        Err(ChainError::NotCanonical { position: 0 })
    ));
}

#[test]
fn window_bounds_not_after() {
    let pki = Pki::new();
    let year = |year: u64| UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    let accept = |window: Range<SystemTime>, not_after| {
        let mut params = precertificate_params(1);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), not_after);
        let window = Window::new(window.start, window.end).unwrap();
        policy(&pki.root).accept_in(&pki.chain(&params), Endpoint::AddPreChain, Some(&window))
    };
    let june = date_time_ymd(2021, 6, 1);
    // Expired, and accepted all the same.
    assert!(accept(year(2021)..year(2022), june).is_ok());
    assert!(matches!(
        accept(year(2022)..year(2023), june),
        Err(ChainError::OutsideWindow)
    ));
    let exact = SystemTime::from(june);
    assert!(accept(exact..exact + Duration::from_secs(1), june).is_ok());
    let before = exact - Duration::from_secs(1)..exact;
    assert!(matches!(accept(before, june), Err(ChainError::OutsideWindow)));
}

#[test]
fn policy_needs_a_root_and_only_authorities() {
    let pki = Pki::new();
    assert!(matches!(Policy::new([]), Err(PolicyError::NoRoot)));
    assert!(matches!(
        Policy::new([pki.intermediate.der().as_slice()]),
        Err(PolicyError::NoRoot)
    ));
    let leaf = pki.certificate(1);
    let with_leaf = Policy::new([pki.root.der().as_slice(), &leaf]);
    assert!(matches!(
        with_leaf,
        Err(PolicyError::Certificate(ChainError::MayNotIssue { position: 1 }))
    ));
    assert!(matches!(
        Policy::new([b"x".as_slice()]),
        Err(PolicyError::Certificate(_))
    ));
}

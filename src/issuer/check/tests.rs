//! Every rule of the profile, broken one at a time: each must be noticed before the key signs.

use std::{str::FromStr, time::Duration};

use der::{Decode, asn1::OctetString};
use x509_cert::{
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsages, SubjectKeyIdentifier, name::GeneralName},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};

use super::*;
use crate::{
    clock::Timestamp,
    extension::ExtensionValues,
    issuer::{
        ceremony::{self, AuthorityNames, KeyKind},
        poison,
        tbs::{self, Contents, Names, PublicHalf},
        timestamp_list,
    },
    key::{SigningKey, SoftwareKey},
    profile::{Critical, extension, random_serial, subject_key_identifier, time},
};

const NOW: Timestamp = Timestamp::from_unix(Duration::from_secs(1_800_000_000));

struct Ca {
    chain: CertificateChain,
    key: SoftwareKey,
}

impl Ca {
    fn new() -> Self {
        let names = AuthorityNames {
            root: Name::from_str("CN=root,O=test").unwrap(),
            intermediate: Name::from_str("CN=intermediate,O=test").unwrap(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let new = runtime
            .block_on(ceremony::generate(names, KeyKind::EcdsaP256, NOW))
            .unwrap();
        let chain = CertificateChain::from_der(new.chain, NOW).unwrap();
        Self {
            chain,
            key: SoftwareKey::from_pkcs8_der(&new.key).unwrap(),
        }
    }

    /// A leaf as the profile wants it, but for poison or SCT list.
    fn leaf(&self) -> Contents {
        let key = SubjectPublicKeyInfoOwned::from_der(self.key.spki_der()).unwrap();
        let name = GeneralName::Rfc822Name(der::asn1::Ia5String::new("a@example.com").unwrap());
        let mut extensions = vec![
            extension(&KeyUsage(KeyUsages::DigitalSignature.into()), Critical::Yes).unwrap(),
            extension(&ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]), Critical::No).unwrap(),
            extension(&subject_key_identifier(&key).unwrap(), Critical::No).unwrap(),
            Extension {
                extn_id: ID_CE_AUTHORITY_KEY_IDENTIFIER,
                critical: false,
                extn_value: octets(),
            },
            extension(&SubjectAltName(vec![name]), Critical::Yes).unwrap(),
        ];
        extensions.extend(
            ExtensionValues::new("https://issuer.example", "alice")
                .to_extensions()
                .unwrap(),
        );
        let names = Names {
            issuer: self.issuer(),
            subject: Name::default(),
        };
        let from = NOW.since_epoch();
        let validity = Validity::new(time(from).unwrap(), time(from + LIFETIME).unwrap());
        Contents {
            serial: random_serial().unwrap(),
            validity,
            key,
            names,
            extensions,
        }
    }

    fn issuer(&self) -> Name {
        self.chain.issuing().tbs_certificate().subject().clone()
    }

    fn encode(&self, contents: Contents) -> Vec<u8> {
        tbs::encode(contents, &PublicHalf::of(&self.key).unwrap()).unwrap()
    }

    fn check(&self, contents: Contents) -> Result<CheckedPrecertificate, CheckError> {
        precertificate(&self.encode(contents), &self.chain, self.key.algorithm())
    }
}

fn octets() -> OctetString {
    OctetString::new([0x30, 0x00]).unwrap()
}

fn poisoned(mut contents: Contents) -> Contents {
    contents.extensions.push(poison().unwrap());
    contents
}

fn timestamped(contents: Contents) -> Contents {
    with_scts(contents, &[&sct(1)])
}

fn with_scts(mut contents: Contents, scts: &[&[u8]]) -> Contents {
    contents.extensions.push(timestamp_list(scts).unwrap());
    contents
}

/// The TLS encoding of an SCT (RFC 6962 3.2) without extensions, of the log whose id is `log` all over.
fn sct(log: u8) -> Vec<u8> {
    let timestamp_extensions_algorithm = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 3];
    let signature = [0, 2, 5, 5];
    [&[0][..], &[log; 32], &timestamp_extensions_algorithm, &signature].concat()
}

#[test]
fn accepts_the_profile() {
    let ca = Ca::new();
    ca.check(poisoned(ca.leaf())).unwrap();
}

#[test]
fn refuses_every_broken_rule() {
    let ca = Ca::new();
    type Breaking = fn(&mut Contents);
    let past_issuer = |seconds: i64| {
        let until = ca
            .chain
            .issuing()
            .tbs_certificate()
            .validity()
            .not_after
            .to_unix_duration();
        let from = Duration::from_secs(until.as_secs().saturating_add_signed(seconds));
        Validity::new(time(from).unwrap(), time(from + LIFETIME).unwrap())
    };
    let rules: [(&str, Breaking); 14] = [
        ("a short serial", |leaf| {
            leaf.serial = SerialNumber::new(&[1]).unwrap();
        }),
        ("another issuer", |leaf| {
            leaf.names.issuer = Name::from_str("CN=other").unwrap();
        }),
        ("a subject", |leaf| {
            leaf.names.subject = Name::from_str("CN=alice").unwrap();
        }),
        ("a lifetime too long", |leaf| {
            let from = leaf.validity.not_before.to_unix_duration();
            leaf.validity.not_after = time(from + LIFETIME + Duration::from_secs(1)).unwrap();
        }),
        ("no lifetime", |leaf| {
            leaf.validity.not_after = leaf.validity.not_before;
        }),
        ("older than the issuer", |leaf| {
            let from = NOW.since_epoch() - Duration::from_secs(1);
            leaf.validity.not_before = time(from).unwrap();
            leaf.validity.not_after = time(from + LIFETIME).unwrap();
        }),
        ("an uncritical key usage", |leaf| {
            leaf.extensions[0].critical = false;
        }),
        ("a critical extended key usage", |leaf| {
            leaf.extensions[1].critical = true;
        }),
        ("an uncritical name", |leaf| leaf.extensions[4].critical = false),
        ("another key usage", |leaf| {
            leaf.extensions[0] = extension(&KeyUsage(KeyUsages::KeyCertSign.into()), Critical::Yes).unwrap();
        }),
        ("two names", |leaf| {
            let SubjectAltName(mut names) =
                SubjectAltName::from_der(leaf.extensions[4].extn_value.as_bytes()).unwrap();
            names.push(names[0].clone());
            leaf.extensions[4] = extension(&SubjectAltName(names), Critical::Yes).unwrap();
        }),
        ("a CA", |leaf| {
            let ca = BasicConstraints {
                ca: true,
                path_len_constraint: None,
            };
            leaf.extensions.push(extension(&ca, Critical::Yes).unwrap());
        }),
        ("an extension twice", |leaf| {
            leaf.extensions.push(leaf.extensions.last().unwrap().clone());
        }),
        ("no key identifier", |leaf| {
            leaf.extensions.retain(|e| e.extn_id != SubjectKeyIdentifier::OID);
        }),
    ];
    for (rule, breaking) in rules {
        let mut leaf = ca.leaf();
        breaking(&mut leaf);
        assert!(ca.check(poisoned(leaf)).is_err(), "{rule}");
    }
    let mut outliving = ca.leaf();
    outliving.validity = past_issuer(-1);
    assert!(ca.check(poisoned(outliving)).is_err(), "outlives its issuer");
}

#[test]
fn refuses_a_precertificate_without_poison_or_with_an_sct() {
    let ca = Ca::new();
    assert!(ca.check(ca.leaf()).is_err());
    assert!(ca.check(timestamped(ca.leaf())).is_err());
    assert!(ca.check(timestamped(poisoned(ca.leaf()))).is_err());
    let mut uncritical = poisoned(ca.leaf());
    uncritical.extensions.last_mut().unwrap().critical = false;
    assert!(ca.check(uncritical).is_err());
}

#[test]
fn certificate_and_precertificate_correspond_but_for_poison_and_sct() {
    let ca = Ca::new();
    let leaf = ca.leaf();
    let checked = ca.check(poisoned(leaf.clone())).unwrap();
    let scts = [&*sct(1)];
    correspond(&checked, &ca.encode(timestamped(leaf.clone())), &scts).unwrap();

    assert!(
        correspond(&checked, &ca.encode(poisoned(leaf.clone())), &scts).is_err(),
        "a second precertificate"
    );
    assert!(
        correspond(&checked, &ca.encode(leaf.clone()), &scts).is_err(),
        "no SCT"
    );
    type Change = fn(&mut Contents);
    let changes: [(&str, Change); 5] = [
        ("serial", |leaf| leaf.serial = random_serial().unwrap()),
        ("validity", |leaf| {
            leaf.validity.not_after = time(NOW.since_epoch() + Duration::from_secs(1)).unwrap();
        }),
        ("names", |leaf| {
            leaf.names.subject = Name::from_str("CN=alice").unwrap();
        }),
        ("an extension less", |leaf| drop(leaf.extensions.pop())),
        ("criticality", |leaf| leaf.extensions[0].critical = false),
    ];
    for (what, change) in changes {
        let mut other = leaf.clone();
        change(&mut other);
        assert!(
            correspond(&checked, &ca.encode(timestamped(other)), &scts).is_err(),
            "{what}"
        );
    }
}

/// C18.
#[test]
fn a_certificate_carries_exactly_the_scts_of_its_logs() {
    let ca = Ca::new();
    let leaf = ca.leaf();
    let checked = ca.check(poisoned(leaf.clone())).unwrap();
    let (one, two) = (sct(1), sct(2));
    let both = ca.encode(with_scts(leaf.clone(), &[&one, &two]));
    correspond(&checked, &both, &[&one, &two]).unwrap();
    for (what, scts) in [
        ("one more than given", vec![&*one]),
        ("another order", vec![&*two, &*one]),
        ("another log's", vec![&*one, &*one]),
        ("none given", vec![]),
    ] {
        assert!(correspond(&checked, &both, &scts).is_err(), "{what}");
    }
    let none = ca.encode(with_scts(leaf.clone(), &[]));
    assert!(correspond(&checked, &none, &[]).is_err(), "no SCT at all");
}

/// C18.
#[test]
fn only_the_certificate_that_was_checked_may_leave() {
    let ca = Ca::new();
    let leaf = ca.leaf();
    let checked = ca.check(poisoned(leaf.clone())).unwrap();
    let scts = [&*sct(1)];
    let tbs = ca.encode(timestamped(leaf.clone()));
    let assembled = |tbs: &[u8]| tbs::assemble(tbs, ca.key.algorithm(), b"signature").unwrap();
    let certificate = correspond(&checked, &tbs, &scts).unwrap();
    signed(&certificate, &assembled(&tbs)).unwrap();
    assert!(signed(&certificate, &assembled(&ca.encode(leaf))).is_err());
}

//! What a certificate must be, whatever was asked for.

use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::{rfc5280, rfc5912::ID_KP_CODE_SIGNING},
};
use der::{Decode, Encode, asn1::Ia5String};
use x509_cert::{
    Certificate,
    ext::pkix::{
        BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SignedCertificateTimestampList,
        SubjectAltName, name::GeneralName,
    },
};

use crate::ask::ALICE;

/// Fulcio's extensions of an email identity: issuer, issuer (V2), and the token's subject.
const ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
const ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
const SUBJECT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.24");

/// A code-signing leaf for Alice and `spki`, and nothing else.
pub(crate) fn assert_is_plain_leaf(pem: &str, spki: &[u8]) {
    let certificate = Certificate::from_der(pem::parse(pem).unwrap().contents()).unwrap();
    let tbs = certificate.tbs_certificate();
    assert_eq!(tbs.subject_public_key_info().to_der().unwrap(), spki);
    assert!(tbs.subject().is_empty());
    let (_, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert_eq!(usage, KeyUsage(KeyUsages::DigitalSignature.into()));
    let (_, extended) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(extended, ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]));
    let (_, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    let alice = GeneralName::Rfc822Name(Ia5String::new(ALICE).unwrap());
    assert_eq!(names, SubjectAltName(vec![alice]));
    assert!(
        tbs.get_extension::<BasicConstraints>().unwrap().is_none(),
        "no CA"
    );
    let extensions = tbs.extensions().unwrap().iter().map(|one| one.extn_id);
    let expected = [
        rfc5280::ID_CE_KEY_USAGE,
        rfc5280::ID_CE_EXT_KEY_USAGE,
        rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
        rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER,
        rfc5280::ID_CE_SUBJECT_ALT_NAME,
        ISSUER,
        ISSUER_V2,
        SUBJECT,
        SignedCertificateTimestampList::OID,
    ];
    assert_eq!(extensions.collect::<Vec<_>>(), expected);
}

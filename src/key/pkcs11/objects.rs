//! Finds a private key on a token, and what its public half is.

use cryptoki::{
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use der::{Decode, Encode, asn1::OctetStringRef};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::Certificate;

use super::{error::Pkcs11Error, uri::Pkcs11Uri};
use crate::key::remote::{spki_of_point, spki_of_rsa};

/// Enough to choose from in an error.
const NAMED: usize = 10;

/// What a private key is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ecdsa,
    Rsa,
}

/// The one private key that `uri` names.
pub(super) fn private_key(session: &Session, uri: &Pkcs11Uri) -> Result<ObjectHandle, Pkcs11Error> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(
        uri.object
            .clone()
            .map(|label| Attribute::Label(label.into_bytes())),
    );
    template.extend(uri.id.clone().map(Attribute::Id));
    let found = session.find_objects(&template)?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] => {
            let all = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
            Err(Pkcs11Error::NoKey {
                found: names(session, &all)?,
            })
        }
        many => Err(Pkcs11Error::ManyKeys {
            found: names(session, many)?,
        }),
    }
}

fn names(session: &Session, keys: &[ObjectHandle]) -> Result<Vec<String>, Pkcs11Error> {
    let name = |key: &ObjectHandle| {
        let label = bytes(session, *key, AttributeType::Label)?.unwrap_or_default();
        let id = bytes(session, *key, AttributeType::Id)?.unwrap_or_default();
        let (label, id) = (String::from_utf8_lossy(&label), hex::encode(id));
        Ok(format!("{:?} with id {id}", label.trim_end_matches('\0')))
    };
    keys.iter().take(NAMED).map(name).collect()
}

/// What the key signs with; refuses one that cannot sign for a server.
pub(super) fn kind(session: &Session, key: ObjectHandle) -> Result<Kind, Pkcs11Error> {
    if flag(session, key, AttributeType::Sign)? == Some(false) {
        return Err(Pkcs11Error::NotForSigning);
    }
    if flag(session, key, AttributeType::AlwaysAuthenticate)? == Some(true) {
        return Err(Pkcs11Error::AlwaysAuthenticate);
    }
    let attributes = session.get_attributes(key, &[AttributeType::KeyType])?;
    match attributes.first() {
        Some(Attribute::KeyType(KeyType::EC)) => Ok(Kind::Ecdsa),
        Some(Attribute::KeyType(KeyType::RSA)) => Ok(Kind::Rsa),
        _ => Err(Pkcs11Error::Unsupported),
    }
}

/// Whether the token would give the key away, to whoever knows the PIN.
pub(super) fn is_extractable(session: &Session, key: ObjectHandle) -> Result<bool, Pkcs11Error> {
    let extractable = flag(session, key, AttributeType::Extractable)? == Some(true);
    Ok(extractable || flag(session, key, AttributeType::Sensitive)? == Some(false))
}

/// What may be the key's public half, DER SubjectPublicKeyInfo: that of public keys and certificates with its id or label,
/// and of the private key itself if the token says so much. Tokens check none of it.
pub(super) fn public_halves(session: &Session, key: ObjectHandle) -> Result<Vec<Vec<u8>>, Pkcs11Error> {
    let id = bytes(session, key, AttributeType::Id)?.map(Attribute::Id);
    let label = bytes(session, key, AttributeType::Label)?.map(Attribute::Label);
    let mut halves = Vec::new();
    for mark in id.into_iter().chain(label) {
        for object in session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), mark.clone()])? {
            halves.extend(public_key(session, object)?);
        }
        for object in session.find_objects(&[Attribute::Class(ObjectClass::CERTIFICATE), mark])? {
            let certificate = bytes(session, object, AttributeType::Value)?;
            halves.extend(certificate.as_deref().and_then(spki_of_certificate));
        }
    }
    halves.extend(public_key(session, key)?);
    Ok(halves)
}

fn public_key(session: &Session, object: ObjectHandle) -> Result<Option<Vec<u8>>, Pkcs11Error> {
    if let Some(info) = bytes(session, object, AttributeType::PublicKeyInfo)?
        && SubjectPublicKeyInfoRef::from_der(&info).is_ok()
    {
        return Ok(Some(info));
    }
    if let Some(point) = bytes(session, object, AttributeType::EcPoint)? {
        let curve = bytes(session, object, AttributeType::EcParams)?;
        return Ok(spki_of_ec(&point, curve.as_deref()));
    }
    let modulus = bytes(session, object, AttributeType::Modulus)?;
    let exponent = bytes(session, object, AttributeType::PublicExponent)?;
    Ok(modulus
        .zip(exponent)
        .and_then(|(modulus, exponent)| spki_of_rsa(&modulus, &exponent)))
}

/// Of CKA_EC_POINT, in a DER OCTET STRING as it should be or without it, on the curve that CKA_EC_PARAMS names.
fn spki_of_ec(point: &[u8], curve: Option<&[u8]>) -> Option<Vec<u8>> {
    let bare = <&OctetStringRef>::from_der(point).map_or(point, OctetStringRef::as_bytes);
    let spki = spki_of_point(bare)?;
    let named = SubjectPublicKeyInfoRef::from_der(&spki)
        .ok()?
        .algorithm
        .parameters?;
    let is_that_curve = curve.is_none_or(|curve| named.to_der().is_ok_and(|named| named == curve));
    is_that_curve.then_some(spki)
}

fn spki_of_certificate(certificate: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let spki = certificate.tbs_certificate().subject_public_key_info();
    spki.to_der().ok()
}

/// Nothing if the object has no such attribute, or an empty one.
fn bytes(
    session: &Session,
    object: ObjectHandle,
    attribute: AttributeType,
) -> Result<Option<Vec<u8>>, Pkcs11Error> {
    let attributes = session.get_attributes(object, &[attribute])?;
    let value = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::EcParams(value)
        | Attribute::EcPoint(value)
        | Attribute::Id(value)
        | Attribute::Label(value)
        | Attribute::Modulus(value)
        | Attribute::PublicExponent(value)
        | Attribute::PublicKeyInfo(value)
        | Attribute::Value(value) => Some(value),
        _ => None,
    });
    Ok(value.filter(|value| !value.is_empty()))
}

fn flag(
    session: &Session,
    object: ObjectHandle,
    attribute: AttributeType,
) -> Result<Option<bool>, Pkcs11Error> {
    let attributes = session.get_attributes(object, &[attribute])?;
    Ok(attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::AlwaysAuthenticate(value)
        | Attribute::Extractable(value)
        | Attribute::Sensitive(value)
        | Attribute::Sign(value) => Some(value),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use const_oid::db::rfc5912;
    use der::asn1::OctetString;

    use super::*;

    #[test]
    fn points_are_taken_bare_or_not_and_on_their_curve_only() {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let wrapped = OctetString::new(point).unwrap().to_der().unwrap();
        let expected = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
        let p256 = rfc5912::SECP_256_R_1.to_der().unwrap();
        for point in [point, &wrapped] {
            for curve in [None, Some(p256.as_slice())] {
                assert_eq!(spki_of_ec(point, curve).unwrap(), expected.as_ref());
            }
            let p384 = rfc5912::SECP_384_R_1.to_der().unwrap();
            assert_eq!(spki_of_ec(point, Some(&p384)), None);
        }
        assert_eq!(spki_of_ec(&[], None), None);
    }
}

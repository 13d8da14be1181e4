//! PKCS#10 requests (RFC 2986): the key and the signature count, whatever else is asked for is ignored.

use der::{AnyRef, Decode, Encode, Sequence, asn1::BitStringRef};
use spki::AlgorithmIdentifierRef;
use x509_cert::request::CertReqInfo;

use super::{
    ProofError,
    algorithm::UsedAlgorithm,
    armor::{self, ArmorError, Encoded},
    public_key::PublicKey,
    signature::Scheme,
};

/// RFC 7468 section 7, and the label of older tools that it lets us read.
const PEM_LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// `CertificationRequest` with the signed part left as it came, since the signature is over those bytes.
#[derive(Sequence)]
struct SignedRequest<'a> {
    info: AnyRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

/// The key of a request that is signed with that key, and how.
pub(super) fn verify(input: &[u8]) -> Result<(PublicKey, UsedAlgorithm), ProofError> {
    let der = unarmor(input)?;
    let request = SignedRequest::from_der(&der).map_err(|_| malformed())?;
    // DER has one encoding of a tag and length, so this gives back the bytes that came.
    let signed = request.info.to_der().map_err(|_| malformed())?;
    let info = CertReqInfo::from_der(&signed).map_err(|_| malformed())?;
    let signature = request.signature.as_bytes().ok_or_else(malformed)?;

    let key = PublicKey::check(info.public_key)?;
    let scheme = Scheme::of_request(key.algorithm(), request.algorithm)?;
    if !key.signed_request(scheme, &signed, signature) {
        return Err(ProofError::CsrSignatureInvalid);
    }
    let used = UsedAlgorithm::of_request(key.algorithm(), key.bits(), request.algorithm.oid);
    Ok((key, used))
}

fn unarmor(input: &[u8]) -> Result<Vec<u8>, ProofError> {
    match armor::remove(input) {
        Ok(Encoded::Pem { label, .. }) if !PEM_LABELS.contains(&label.as_str()) => Err(
            ProofError::CsrMalformed("its PEM label is not CERTIFICATE REQUEST"),
        ),
        Ok(Encoded::Pem { der, .. } | Encoded::Der(der)) => Ok(der),
        Err(ArmorError::PrivateKey) => Err(ProofError::PrivateKeySent),
        Err(ArmorError::Malformed(why)) => Err(ProofError::CsrMalformed(why)),
    }
}

fn malformed() -> ProofError {
    ProofError::CsrMalformed("it is not a PKCS#10 request, version 1, in PEM or strict DER")
}

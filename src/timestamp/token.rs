//! A TimeStampToken: CMS SignedData (RFC 5652) over a TSTInfo, as RFC 3161 2.4.2 and RFC 5816 want it.

use aws_lc_rs::digest::{SHA256, digest};
use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    content_info::{CmsVersion, ContentInfo},
    signed_data::{
        CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo,
        SignerInfos,
    },
};
use const_oid::db::{
    rfc3161::ID_CT_TST_INFO,
    rfc5911::{
        ID_AA_SIGNING_CERTIFICATE_V_2, ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
    },
    rfc5912,
};
use der::{
    Any, Encode, EncodeValue, Tagged,
    asn1::{ObjectIdentifier, OctetString, SetOfVec},
};
use spki::AlgorithmIdentifierOwned;
use x509_cert::{attr::Attribute, time::Time};

use super::{
    TimestampError,
    chain::TimestampChain,
    rfc3161::{EssCertIdV2, SigningCertificateV2, TstInfo},
};
use crate::key::{SignatureAlgorithm, SigningKey};

/// The token of `info`, signed by the key of the chain's first certificate. `with_certificates` puts that and those above it,
/// but for the root, into the token.
pub(super) async fn sign(
    info: &TstInfo,
    with_certificates: bool,
    (key, chain): (&dyn SigningKey, &TimestampChain),
) -> Result<ContentInfo, TimestampError> {
    let content = info.to_der()?;
    let attributes = signed_attributes(info, &content, (key.algorithm(), chain))?;
    // What is signed is the attributes' DER with the tag of a SET (RFC 5652 5.4).
    let signature = key.sign(&attributes.to_der()?).await?;
    let digest_alg = digest_algorithm(key.algorithm());
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: identifier(chain),
        digest_alg: digest_alg.clone(),
        signed_attrs: Some(attributes),
        signature_algorithm: key.algorithm().identifier(),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let signed = SignedData {
        // RFC 5652 5.1: the content is not plain data.
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from(vec![digest_alg])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: ID_CT_TST_INFO,
            econtent: Some(Any::encode_from(&OctetString::new(content)?)?),
        },
        certificates: with_certificates.then(|| certificates(chain)).transpose()?,
        crls: None,
        signer_infos: SignerInfos::try_from(vec![signer])?,
    };
    Ok(ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&signed)?,
    })
}

fn signed_attributes(
    info: &TstInfo,
    content: &[u8],
    (algorithm, chain): (SignatureAlgorithm, &TimestampChain),
) -> Result<SignedAttributes, TimestampError> {
    let certificate = SigningCertificateV2 {
        certs: vec![EssCertIdV2 {
            cert_hash: OctetString::new(digest(&SHA256, chain.signer_der()).as_ref())?,
        }],
    };
    let digest = OctetString::new(algorithm.digest(content).as_ref())?;
    let time = Time::from(info.gen_time.to_date_time());
    Ok(SetOfVec::try_from(vec![
        attribute(ID_CONTENT_TYPE, &ID_CT_TST_INFO)?,
        attribute(ID_SIGNING_TIME, &time)?,
        attribute(ID_MESSAGE_DIGEST, &digest)?,
        attribute(ID_AA_SIGNING_CERTIFICATE_V_2, &certificate)?,
    ])?)
}

fn attribute(oid: ObjectIdentifier, value: &(impl Tagged + EncodeValue)) -> der::Result<Attribute> {
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![Any::encode_from(value)?])?,
    })
}

fn identifier(chain: &TimestampChain) -> SignerIdentifier {
    let tbs = chain.signer().tbs_certificate();
    SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
        issuer: tbs.issuer().clone(),
        serial_number: tbs.serial_number().clone(),
    })
}

/// A SET, so in the order of its members' DER: rfc3161-client refuses any other.
fn certificates(chain: &TimestampChain) -> der::Result<CertificateSet> {
    let certificates = chain.below_the_root().iter().cloned();
    let certificates: Vec<_> = certificates.map(CertificateChoices::Certificate).collect();
    CertificateSet::try_from(certificates)
}

/// Without parameters (RFC 5754 2).
const fn digest_algorithm(algorithm: SignatureAlgorithm) -> AlgorithmIdentifierOwned {
    let oid = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::RsaPkcs1Sha256 => rfc5912::ID_SHA_256,
        SignatureAlgorithm::EcdsaP384Sha384 => rfc5912::ID_SHA_384,
    };
    AlgorithmIdentifierOwned {
        oid,
        parameters: None,
    }
}

//! TBSCertificate encoding by `x509-cert`'s builder, told exactly which extensions to write.

use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, SubjectPublicKeyInfoRef,
};
use x509_cert::{
    TbsCertificate,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    der::{
        self, Any, Decode, Document, Encode, Sequence, Tagged,
        asn1::{AnyRef, BitString},
    },
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};

use crate::key::{SignatureAlgorithm, SigningKey};

/// What one certificate says of its subject.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) serial: SerialNumber,
    pub(super) validity: Validity,
    pub(super) key: SubjectPublicKeyInfoOwned,
    pub(super) names: Names,
    pub(super) extensions: Vec<Extension>,
}

/// Who issues, and the subject (empty in leaves).
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) issuer: Name,
    pub(super) subject: Name,
}

/// The public half of the signing key, in the form in which the builder asks for it.
#[derive(Clone, Debug)]
pub(super) struct PublicHalf {
    key: PublicKeyDer,
    algorithm: SignatureAlgorithm,
}

#[derive(Clone, Debug)]
pub(super) struct PublicKeyDer(Document);

impl PublicHalf {
    pub(super) fn of(key: &dyn SigningKey) -> Result<Self, der::Error> {
        let key_der = PublicKeyDer(Document::try_from(key.spki_der())?);
        Ok(Self {
            key: key_der,
            algorithm: key.algorithm(),
        })
    }
}

/// DER of the TBSCertificate with exactly the extensions given, in their order.
pub(super) fn encode(contents: Contents, signer: &PublicHalf) -> Result<Vec<u8>, builder::Error> {
    let Contents {
        serial,
        validity,
        key,
        names,
        extensions,
    } = contents;
    CertificateBuilder::new(Exactly { names, extensions }, serial, validity, key)?.finalize(signer)
}

/// DER of the certificate whose TBSCertificate is byte for byte the one that was signed.
pub(super) fn assemble(
    tbs: &[u8],
    algorithm: SignatureAlgorithm,
    signature: &[u8],
) -> Result<Vec<u8>, der::Error> {
    Signed {
        tbs: Any::from_der(tbs)?,
        algorithm: algorithm.identifier(),
        signature: BitString::from_bytes(signature)?,
    }
    .to_der()
}

/// `tbs` (DER) with `extension` after its last one; every other byte of its fields is kept.
pub(super) fn append(tbs: &[u8], extension: &Extension) -> der::Result<Vec<u8>> {
    let added = extension.to_der()?;
    let fields = Fields::of(tbs)?;
    let mut extensions = fields.extensions()?;
    extensions.push(AnyRef::from_der(&added)?);
    fields.with_extensions(&extensions)
}

/// The last extension of `tbs` (DER), and `tbs` without it.
pub(super) fn split_last(tbs: &[u8]) -> der::Result<(Extension, Vec<u8>)> {
    let fields = Fields::of(tbs)?;
    let mut extensions = fields.extensions()?;
    let last = extensions.pop().ok_or(der::ErrorKind::Failed)?;
    Ok((last.decode_as()?, fields.with_extensions(&extensions)?))
}

/// A TBSCertificate's fields, undecoded; extensions are the last one, explicitly tagged (RFC 5280 4.1).
struct Fields<'a> {
    before: Vec<AnyRef<'a>>,
    extensions: AnyRef<'a>,
}

impl<'a> Fields<'a> {
    fn of(tbs: &'a [u8]) -> der::Result<Self> {
        let mut before = Vec::<AnyRef<'_>>::from_der(tbs)?;
        let extensions = before.pop().ok_or(der::ErrorKind::Failed)?;
        Ok(Self { before, extensions })
    }

    fn extensions(&self) -> der::Result<Vec<AnyRef<'a>>> {
        Vec::from_der(self.extensions.value())
    }

    fn with_extensions(self, extensions: &Vec<AnyRef<'_>>) -> der::Result<Vec<u8>> {
        let extensions = extensions.to_der()?;
        let mut fields: Vec<AnyRef<'_>> = self.before;
        fields.push(AnyRef::new(self.extensions.tag(), &extensions)?);
        fields.to_der()
    }
}

#[derive(Sequence)]
struct Signed {
    tbs: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

struct Exactly {
    names: Names,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Exactly {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.names.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.names.subject.clone()
    }

    fn build_extensions(
        &self,
        _subject_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

impl Keypair for PublicHalf {
    type VerifyingKey = PublicKeyDer;

    fn verifying_key(&self) -> PublicKeyDer {
        self.key.clone()
    }
}

impl DynSignatureAlgorithmIdentifier for PublicHalf {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(self.algorithm.identifier())
    }
}

impl EncodePublicKey for PublicKeyDer {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(self.0.clone())
    }
}

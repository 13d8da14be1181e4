//! The log's key pair: ECDSA on P-256 with SHA-256 (RFC 6962 section 2.1.4).

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use crate::leaf::LogId;
use crate::tree::sha256;

/// A key that cannot be used for a log, or an operation of the cryptographic library that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a `SubjectPublicKeyInfo` with an uncompressed point on P-256.
    #[error("the log's public key must be an ECDSA key on P-256 (SubjectPublicKeyInfo, DER)")]
    PublicKey,
    /// Not a PKCS #8 private key on P-256.
    #[error("the log's private key must be an ECDSA key on P-256 (PKCS #8, DER)")]
    PrivateKey,
    /// Not a PKCS #8 private key on Ed25519.
    #[error("the log's note key must be an Ed25519 key (PKCS #8, DER)")]
    NoteKey,
    /// Key generation failed.
    #[error("the log's key could not be generated")]
    Generate,
    /// Signing failed.
    #[error("the log's key could not sign")]
    Sign,
    /// A key outside this process did not sign, or not what it was asked to. It may the next time.
    #[error("the log's key, which is outside this process, did not sign")]
    Remote,
}

/// A signature that the log's key did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature was not made by the log's key")]
pub struct SignatureError;

/// The log's public key and its id.
#[derive(Clone)]
pub struct LogPublicKey {
    spki_der: Vec<u8>,
    log_id: LogId,
    key: ParsedPublicKey,
}

impl LogPublicKey {
    /// A public key from its `SubjectPublicKeyInfo`, DER.
    ///
    /// # Errors
    /// Another algorithm or curve, a compressed or invalid point, or not DER.
    pub fn from_spki_der(der: &[u8]) -> Result<LogPublicKey, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::PublicKey)?;
        spki.algorithm
            .assert_oids(ID_EC_PUBLIC_KEY, SECP_256_R_1)
            .map_err(|_| KeyError::PublicKey)?;
        let point = spki.subject_public_key.as_bytes().ok_or(KeyError::PublicKey)?;
        if point.first() != Some(&0x04) {
            return Err(KeyError::PublicKey);
        }
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| KeyError::PublicKey)?;
        Ok(LogPublicKey {
            spki_der: der.to_vec(),
            log_id: LogId::new(sha256(der)),
            key,
        })
    }

    /// The `SubjectPublicKeyInfo`, DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// SHA-256 of [`LogPublicKey::spki_der`].
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// Checks an ECDSA signature (DER) with SHA-256 over `message`.
    ///
    /// # Errors
    /// This key did not make the signature over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.key
            .verify_sig(message, signature)
            .map_err(|_| SignatureError)
    }
}

impl fmt::Debug for LogPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogPublicKey({})", self.log_id)
    }
}

/// A signature under way: ECDSA, DER.
pub type LogSignature<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<u8>, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// A log's private key outside this process: on a token, in a key management service.
pub trait RemoteLogKey: Send + Sync {
    /// Signs `message` (not its digest) by ECDSA on P-256 with SHA-256. Any executor may poll it, also one without a reactor: the
    /// log's own threads do. Deadlines and further attempts are for the implementation.
    fn sign<'a>(&'a self, message: &'a [u8]) -> LogSignature<'a>;
}

/// The log's private key. It signs SCTs and checkpoints and nothing else.
pub struct LogKey {
    signer: Signer,
    public: LogPublicKey,
}

/// What makes the signatures.
enum Signer {
    Memory(EcdsaKeyPair),
    Remote(Arc<dyn RemoteLogKey>),
    /// Nothing: the log is only read.
    Nobody,
}

impl LogKey {
    /// A new random key.
    ///
    /// # Errors
    /// The random generator failed.
    pub fn generate() -> Result<LogKey, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyError::Generate)?;
        LogKey::from_pair(pair)
    }

    /// A key from its PKCS #8 form, DER.
    ///
    /// # Errors
    /// Not a P-256 key, or not PKCS #8.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<LogKey, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_| KeyError::PrivateKey)?;
        LogKey::from_pair(pair)
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<LogKey, KeyError> {
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::PublicKey)?;
        let public = LogPublicKey::from_spki_der(spki.as_ref())?;
        let signer = Signer::Memory(pair);
        Ok(LogKey { signer, public })
    }

    /// A key outside this process, by its public half. What it signs is verified before it is used.
    pub fn remote(public: LogPublicKey, key: Arc<dyn RemoteLogKey>) -> LogKey {
        let signer = Signer::Remote(key);
        LogKey { signer, public }
    }

    /// The key of a log that is only read: it cannot sign.
    pub(crate) fn public_only(public: LogPublicKey) -> LogKey {
        let signer = Signer::Nobody;
        LogKey { signer, public }
    }

    /// The PKCS #8 form, DER; wiped from memory when dropped.
    ///
    /// # Errors
    /// The key is not in memory, or the library could not encode it.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let Signer::Memory(pair) = &self.signer else {
            return Err(KeyError::PrivateKey);
        };
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::PrivateKey)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The public half.
    pub fn public(&self) -> &LogPublicKey {
        &self.public
    }

    /// An ECDSA signature (DER) with SHA-256 over `message`.
    pub(crate) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.signer {
            Signer::Memory(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message);
                Ok(signed.map_err(|_| KeyError::Sign)?.as_ref().to_vec())
            }
            Signer::Remote(key) => self.verified(message, key.sign(message).await),
            Signer::Nobody => Err(KeyError::Sign),
        }
    }

    /// The same for the log's own threads, which have nothing else to do meanwhile.
    pub(crate) fn sign_blocking(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        futures_executor::block_on(self.sign(message))
    }

    fn verified(
        &self,
        message: &[u8],
        signed: Result<Vec<u8>, Box<dyn Error + Send + Sync>>,
    ) -> Result<Vec<u8>, KeyError> {
        let signature = signed.map_err(|error| {
            tracing::warn!(%error, "the log's key did not sign");
            KeyError::Remote
        })?;
        match self.public.verify(message, &signature) {
            Ok(()) => Ok(signature),
            Err(_) => {
                tracing::error!("the log's key answered with a signature that does not hold");
                Err(KeyError::Remote)
            }
        }
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogKey { signer: _, public } = self;
        write!(f, "LogKey(log id {}, private key elided)", public.log_id)
    }
}

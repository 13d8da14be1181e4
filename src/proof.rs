//! `Admitted` + `KeyProof` -> `Applicant`: possession of the key is proved, and the key is one to certify.

mod algorithm;
mod armor;
mod csr;
mod error;
mod public_key;
mod rsa;
mod signature;
mod thumbprint;

use std::fmt;

use spki::SubjectPublicKeyInfoOwned;

pub(crate) use self::signature::verification;
use self::{algorithm::UsedAlgorithm, public_key::PublicKey, signature::Scheme};
pub use self::{
    algorithm::{PermittedAlgorithms, SigningAlgorithm},
    error::ProofError,
    public_key::KeyAlgorithm,
};
use crate::{
    admission::{Admitted, KeyThumbprint},
    identity::Identity,
};

/// What the caller sent to prove that it holds the private key; nothing is checked yet.
#[non_exhaustive]
pub enum KeyProof {
    /// A signature over the challenge claim's value.
    Challenge {
        /// The public key: one PEM block (`PUBLIC KEY`, or PKCS#1 `RSA PUBLIC KEY`) or DER SubjectPublicKeyInfo.
        public_key: Vec<u8>,
        /// ECDSA in ASN.1 DER, RSA PKCS#1 v1.5, or Ed25519.
        signature: Vec<u8>,
    },
    /// A PKCS#10 request (RFC 2986), PEM or DER: only its key and signature count.
    CertificateSigningRequest(Vec<u8>),
}

/// Shows the kind only: callers send private keys by mistake.
impl fmt::Debug for KeyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Challenge { .. } => "Challenge(elided)",
            Self::CertificateSigningRequest(_) => "CertificateSigningRequest(elided)",
        })
    }
}

/// How possession was proved: a CSR signature binds nothing to the token, a challenge binds the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofKind {
    /// Signed the challenge claim.
    Challenge,
    /// Self-signed request.
    CertificateSigningRequest,
}

/// A key whose private half the caller holds, of a kind and strength that policy allows.
#[derive(Debug)]
pub struct ProvenKey {
    key: PublicKey,
    kind: ProofKind,
    used: UsedAlgorithm,
}

impl ProvenKey {
    /// The key, as it will stand in the certificate.
    #[must_use]
    pub fn spki(&self) -> &SubjectPublicKeyInfoOwned {
        self.key.spki()
    }

    /// The same, in DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        self.key.spki_der()
    }

    /// What kind of key it is.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.key.algorithm()
    }

    /// The key's JWK thumbprint: SHA-256, base64url (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> Option<KeyThumbprint> {
        thumbprint::of(&self.key)
    }

    /// How it was proved.
    #[must_use]
    pub fn kind(&self) -> ProofKind {
        self.kind
    }
}

/// An admitted identity and the key that its holder proved: what a certificate is about.
#[derive(Debug)]
pub struct Applicant {
    admitted: Admitted,
    key: ProvenKey,
}

impl Applicant {
    /// Who.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.admitted.identity()
    }

    /// By what the identity was admitted.
    pub(crate) fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// With which key.
    #[must_use]
    pub fn key(&self) -> &ProvenKey {
        &self.key
    }
}

/// Joins an identity with the key that its holder proves possession of.
///
/// # Errors
/// As [`prove_key`]; or the token is for another key.
pub fn prove(admitted: Admitted, proof: KeyProof) -> Result<Applicant, ProofError> {
    prove_with(admitted, proof, &PermittedAlgorithms::default())
}

/// As [`prove`], with these algorithms alone.
///
/// # Errors
/// As [`prove`]; or the proof is by another algorithm.
pub fn prove_with(
    admitted: Admitted,
    proof: KeyProof,
    permitted: &PermittedAlgorithms,
) -> Result<Applicant, ProofError> {
    let key = prove_key(admitted.identity().challenges(), proof)?;
    permitted.check(&key)?;
    match admitted.key() {
        Some(named) if key.thumbprint().as_ref() != Some(named) => Err(ProofError::OtherKeyNamed),
        _ => Ok(Applicant { admitted, key }),
    }
}

/// Checks that the caller holds the private half of a key that policy allows. A challenge signature may be over the
/// bytes of any one of `challenges` (UTF-8 for claims); a CSR proves possession by its own signature.
///
/// # Errors
/// The key or the request does not parse, the key is weak or of another kind, or the signature does not verify.
pub fn prove_key<C: AsRef<[u8]>>(challenges: &[C], proof: KeyProof) -> Result<ProvenKey, ProofError> {
    match proof {
        KeyProof::Challenge {
            public_key,
            signature,
        } => {
            let key = PublicKey::parse(&public_key)?;
            prove_by_challenge(challenges, key, &signature)
        }
        KeyProof::CertificateSigningRequest(request) => {
            let (key, used) = csr::verify(&request)?;
            Ok(ProvenKey {
                key,
                kind: ProofKind::CertificateSigningRequest,
                used,
            })
        }
    }
}

fn prove_by_challenge<C: AsRef<[u8]>>(
    challenges: &[C],
    key: PublicKey,
    signature: &[u8],
) -> Result<ProvenKey, ProofError> {
    if signature.is_empty() {
        return Err(ProofError::ProofMissing);
    }
    // An empty value is no challenge: a signature over it would serve for every token.
    let mut challenges = challenges
        .iter()
        .map(AsRef::as_ref)
        .filter(|value| !value.is_empty());
    if challenges.any(|value| key.signed_challenge(value, signature)) {
        Ok(ProvenKey {
            used: UsedAlgorithm::of_challenge(key.algorithm(), key.bits()),
            key,
            kind: ProofKind::Challenge,
        })
    } else {
        Err(ProofError::ChallengeSignatureInvalid {
            expected: Scheme::of_challenge(key.algorithm()).name(),
        })
    }
}

//! Why a proof is refused.

/// Why a proof of possession is refused. Each message begins with the sentence by which users know the fault, then
/// says what is wrong and what to do; none repeats what was sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not one public key in an encoding that we read.
    #[error("The public key supplied in the request could not be parsed: {0}")]
    PublicKeyMalformed(&'static str),
    /// Not one PKCS#10 request.
    #[error("The certificate signing request could not be parsed: {0}")]
    CsrMalformed(&'static str),
    /// A private key stands where a public key or a request belongs.
    #[error(
        "The public key supplied in the request could not be parsed: a private key was sent. \
         Discard that key pair, make a new one and send its public key only"
    )]
    PrivateKeySent,
    /// A key that others can break, or no valid key at all.
    #[error("The public key supplied in the request is insecure: {0}. Make a new key pair")]
    KeyTooWeak(&'static str),
    /// A kind, size or form of key that is not certified here.
    #[error(
        "The public key supplied in the request is insecure: {0}. Accepted are ECDSA on P-256, P-384 or P-521 \
         (curve named, point uncompressed), RSA of 2048 to 4096 bits with exponent 65537, and Ed25519"
    )]
    KeyUnsupported(&'static str),
    /// There is a key but no signature.
    #[error(
        "The signature supplied in the request could not be verified: there is none. Sign the value of the token's \
         email claim, or of its sub claim if it has no email, with the private key"
    )]
    ProofMissing,
    /// No signature of this key over a challenge.
    #[error(
        "The signature supplied in the request could not be verified: expected {expected} over the exact value of \
         the token's email claim, or of its sub claim if it has no email, by the private key of the public key sent"
    )]
    ChallengeSignatureInvalid {
        /// The signature scheme that goes with the key.
        expected: &'static str,
    },
    /// The token is bound to another key.
    #[error(
        "The signature supplied in the request could not be verified: the token names the one key that it is for, and \
         the key supplied is another. Request a token for this key"
    )]
    OtherKeyNamed,
    /// A request that its own key did not sign.
    #[error(
        "The signature supplied in the request could not be verified: the certificate signing request is not signed \
         by the private key of the public key in it"
    )]
    CsrSignatureInvalid,
    /// A request signed in a way that is not accepted, such as with SHA-1.
    #[error(
        "The signature supplied in the request could not be verified: the certificate signing request must be signed \
         with {expected}"
    )]
    CsrSignatureUnsupported {
        /// The signature schemes that go with the key.
        expected: &'static str,
    },
    /// An algorithm that the operator does not permit (`client-signing-algorithms`).
    #[error("The signing algorithm {used} is not permitted by this service. Permitted are: {permitted}")]
    AlgorithmNotPermitted {
        /// That of the proof.
        used: String,
        /// The others.
        permitted: String,
    },
}

impl ProofError {
    /// A stable, machine-readable name of the fault.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PublicKeyMalformed(_) => "public_key_malformed",
            Self::CsrMalformed(_) => "csr_malformed",
            Self::PrivateKeySent => "private_key_sent",
            Self::KeyTooWeak(_) => "key_too_weak",
            Self::KeyUnsupported(_) => "key_unsupported",
            Self::ProofMissing => "proof_missing",
            Self::ChallengeSignatureInvalid { .. } | Self::CsrSignatureInvalid => "proof_signature_invalid",
            Self::OtherKeyNamed => "key_not_the_tokens",
            Self::CsrSignatureUnsupported { .. } => "csr_signature_unsupported",
            Self::AlgorithmNotPermitted { .. } => "signing_algorithm_not_permitted",
        }
    }
}

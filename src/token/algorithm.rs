//! The signature algorithms of tokens: RFC 7518 section 3.1, RFC 8037 section 3.1 and RFC 9864
//! section 2.2. Asymmetric ones only.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};

/// What `alg` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    /// EdDSA with Ed25519; its two names mean the same, as Ed448 is not known here.
    Ed25519,
}

/// The algorithms of RSA keys.
pub(super) const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
];

/// The algorithm of the keys on one curve.
pub(super) struct OnCurve {
    pub(super) algorithm: Algorithm,
    pub(super) verifier: &'static dyn VerificationAlgorithm,
    /// Of a coordinate (RFC 7518 section 6.2.1.2) or, for Ed25519, of the key (RFC 8037 section 2).
    pub(super) bytes: usize,
}

impl OnCurve {
    /// By the names of `kty` and `crv`.
    pub(super) fn named(kty: &str, crv: &str) -> Option<Self> {
        let (algorithm, verifier, bytes): (_, &'static dyn VerificationAlgorithm, _) = match (kty, crv) {
            ("EC", "P-256") => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, 32),
            ("EC", "P-384") => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, 48),
            ("EC", "P-521") => (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED, 66),
            ("OKP", "Ed25519") => (Algorithm::Ed25519, &ED25519, 32),
            _ => return None,
        };
        Some(Self {
            algorithm,
            verifier,
            bytes,
        })
    }
}

impl Algorithm {
    /// Compared byte for byte.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }

    /// As most issuers write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ed25519 => "EdDSA",
        }
    }
}

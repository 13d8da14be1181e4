//! Why a ceremony fails.

use crate::{
    key::{KeyError, file::KeyFileError},
    profile::ProfileError,
};

/// Why no CA was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// A name that cannot stand in a certificate.
    #[error(
        "{0:?} cannot stand in a certificate: common name and organisation have 1 to 64 characters, no control characters, and \
         no spaces at their ends (\" root\" or \" intermediate\" is appended to the common name)"
    )]
    Name(String),
    /// No key could be made.
    #[error("no private key could be made")]
    NoKey,
    /// The same key twice.
    #[error("root and intermediate have the same key, so the server would hold the root's: name two keys")]
    OneKey,
    /// The same key twice.
    #[error(
        "root and timestamp authority have the same key, so the server would hold the root's: name two keys"
    )]
    RootSignsTimes,
    /// ECDSA and RSA in one chain.
    #[error(
        "the keys of root and intermediate must be of one scheme, ECDSA or RSA, as Fulcio's certificate specification wants"
    )]
    Schemes,
    /// A certificate and a key that do not belong together.
    #[error("the root's key is not the key of the root's certificate")]
    AnotherRoot,
    /// The key that was made cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// It did not sign.
    #[error(transparent)]
    Sign(#[from] KeyError),
    /// No serial number could be made.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A certificate could not be built.
    #[error("a certificate could not be built")]
    Build(#[from] x509_cert::builder::Error),
    /// A certificate could not be encoded.
    #[error("a certificate could not be encoded")]
    Encoding(#[from] der::Error),
}

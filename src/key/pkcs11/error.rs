//! What can go wrong with a token, and whether it may pass.

use std::path::PathBuf;

use cryptoki::error::{Error as LibraryError, RvError};

use crate::key::{passphrase::PassphraseError, remote::Trouble};

/// Why a key on a token does not sign. No variant carries a PIN.
#[derive(Debug, thiserror::Error)]
pub(super) enum Pkcs11Error {
    #[error(
        "the URI does not say which library speaks to the token: add ?module-path=, or set MAYFLY_PKCS11_MODULE"
    )]
    NoModule,
    #[error("the library {} cannot be loaded", path.display())]
    Load { path: PathBuf, source: LibraryError },
    #[error("the PKCS#11 library failed")]
    Library(#[from] LibraryError),
    #[error("no token fits the URI; there are: {}", listed(found))]
    NoToken { found: Vec<String> },
    #[error(
        "more than one token fits the URI, so name the one by its serial number: {}",
        listed(found)
    )]
    ManyTokens { found: Vec<String> },
    #[error("no private key on the token fits the URI; there are: {}", listed(found))]
    NoKey { found: Vec<String> },
    #[error(
        "more than one private key on the token fits the URI, so name the one by its id: {}",
        listed(found)
    )]
    ManyKeys { found: Vec<String> },
    #[error(
        "the token has no public key and no certificate with the private key's id or label that is ECDSA on P-256 or P-384, or RSA"
    )]
    NoPublicKey,
    #[error(
        "no public key or certificate with the private key's id or label verifies what the private key signs"
    )]
    OtherPublicKey,
    #[error("the private key may not sign: its CKA_SIGN is false")]
    NotForSigning,
    #[error(
        "the private key wants the PIN again for each signature (CKA_ALWAYS_AUTHENTICATE), which is not supported"
    )]
    AlwaysAuthenticate,
    #[error("the key is not ECDSA on P-256 or P-384, nor RSA")]
    Unsupported,
    #[error("the token wants a PIN: name its place as `passphrase`, or as pin-source=file:/PATH in the URI")]
    NoPin,
    #[error("the PIN of the token is missing")]
    Pin(#[from] PassphraseError),
    #[error("the token refused the PIN, which is not tried again")]
    WrongPin(#[source] LibraryError),
    #[error(
        "the token refused this PIN before, so it is not tried again: correct it, or restart if it is right now"
    )]
    RefusedBefore,
    #[error("the token's PIN is locked: unlock it as its security officer")]
    Locked,
    #[error(
        "the token would lock after one more wrong PIN, so none is tried: log in with another tool first"
    )]
    LastTry,
    #[error("the token answered with a signature that is not one")]
    Garbled,
    #[error("finding the key was interrupted")]
    Interrupted,
    #[error("the token did not answer in time")]
    Late,
}

impl Pkcs11Error {
    /// What it means for the next attempt.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Library(LibraryError::Pkcs11(code, _)) => match code {
                RvError::SessionCount => Trouble::Throttled(None),
                RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::FunctionNotSupported
                | RvError::FunctionRejected
                | RvError::KeyFunctionNotPermitted
                | RvError::KeySizeRange
                | RvError::KeyTypeInconsistent
                | RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
                | RvError::UserPinNotInitialized => Trouble::Refused,
                _ => Trouble::Passing,
            },
            // The token may be plugged in again, the library be back after an upgrade.
            Self::Library(_)
            | Self::Load { .. }
            | Self::NoToken { .. }
            | Self::NoKey { .. }
            | Self::Garbled
            | Self::Interrupted
            | Self::Late => Trouble::Passing,
            Self::NoModule
            | Self::ManyTokens { .. }
            | Self::ManyKeys { .. }
            | Self::NoPublicKey
            | Self::OtherPublicKey
            | Self::NotForSigning
            | Self::AlwaysAuthenticate
            | Self::Unsupported
            | Self::NoPin
            | Self::Pin(_)
            | Self::WrongPin(_)
            | Self::RefusedBefore
            | Self::Locked
            | Self::LastTry => Trouble::Refused,
        }
    }

    /// Whether the token may be there all the same, for a library that is started anew.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::NoToken { .. } => true,
            Self::Library(_) => self.trouble() == Trouble::Passing,
            _ => false,
        }
    }

    /// Whether all sessions of the token are taken.
    pub(super) fn is_session_count(&self) -> bool {
        matches!(
            self,
            Self::Library(LibraryError::Pkcs11(RvError::SessionCount, _))
        )
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

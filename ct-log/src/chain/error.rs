//! Why authorities or chains are refused.

use thiserror::Error;

use super::MAX_CHAIN;

/// Why the accepted authorities cannot be used.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// One of them is no CA certificate; positions count from zero.
    #[error("an accepted certificate is not usable")]
    Certificate(#[from] ChainError),
    /// Chains have nowhere to end.
    #[error("none of the accepted certificates is a self-signed root")]
    NoRoot,
}

/// Why a chain was refused. Positions count from zero, the submitted certificate.
#[derive(Debug, Error)]
pub enum ChainError {
    /// There is nothing to log.
    #[error("the chain is empty: send the certificate to log first, then its issuers")]
    Empty,
    /// More than [`MAX_CHAIN`] certificates, or too many once completed to the root.
    #[error("the chain is longer than {MAX_CHAIN} certificates, the root included")]
    TooLong,
    /// Not an X.509 certificate.
    #[error("certificate {position} of the chain cannot be parsed")]
    Unparsable {
        /// Which certificate.
        position: usize,
        /// The parser's reason.
        #[source]
        source: der::Error,
    },
    /// Parsed, but its bytes are not the DER of what was parsed: what is signed would be ambiguous.
    #[error("certificate {position} of the chain is not in canonical DER")]
    NotCanonical {
        /// Which certificate.
        position: usize,
    },
    /// An extension of the submitted certificate does not parse or occurs twice.
    #[error("the certificate has a malformed or repeated extension")]
    Extension(#[source] der::Error),
    /// A precertificate was sent to `add-chain`.
    #[error("this is a precertificate (it has the poison extension): submit it to add-pre-chain")]
    Precertificate,
    /// A certificate was sent to `add-pre-chain`.
    #[error("this is not a precertificate (it lacks the poison extension): submit it to add-chain")]
    NotPrecertificate,
    /// The poison is not as RFC 6962 section 3.1 wants it.
    #[error("the poison extension must occur once, be critical and hold an ASN.1 NULL")]
    Poison,
    /// This log is for end-entity certificates.
    #[error("CA certificates are not logged here")]
    LeafIsCa,
    /// This log is for code signing.
    #[error("the certificate must have the extended key usage code signing")]
    NotCodeSigning,
    /// Another shard of the log covers this certificate.
    #[error("the certificate expires outside the interval that this log accepts")]
    OutsideWindow,
    /// The same certificate follows itself.
    #[error("certificate {position} of the chain repeats the one before it")]
    Repeated {
        /// Which certificate.
        position: usize,
    },
    /// Not a CA certificate for code signing, or its path length is exceeded.
    #[error("certificate {position} of the chain may not issue the certificate before it")]
    MayNotIssue {
        /// Which certificate.
        position: usize,
    },
    /// Names do not match, or the signature does not verify.
    #[error("certificate {position} of the chain was not issued by the one after it")]
    NotIssuedByNext {
        /// Which certificate.
        position: usize,
    },
    /// The chain ends at an authority that the log does not accept.
    #[error("the chain does not lead to an accepted root: see get-roots")]
    NoPathToRoot,
}

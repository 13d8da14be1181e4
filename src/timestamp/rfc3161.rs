//! The structures of RFC 3161 (and of RFC 5035 as far as RFC 5816 needs it) that the libraries for CMS do not have.

use cms::content_info::ContentInfo;
use der::{
    Sequence,
    asn1::{BitString, GeneralizedTime, Int, ObjectIdentifier, OctetString},
};
use spki::AlgorithmIdentifierOwned;
use x509_cert::{ext::Extensions, serial_number::SerialNumber};

/// Of requests and of tokens: there is no other.
pub(super) const VERSION: u8 = 1;

/// RFC 3161 2.4.1.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct TimeStampReq {
    pub(super) version: Int,
    pub(super) message_imprint: MessageImprint,
    #[asn1(optional = "true")]
    pub(super) req_policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<Int>,
    #[asn1(default = "no")]
    pub(super) cert_req: bool,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    pub(super) extensions: Option<Extensions>,
}

/// What is timestamped (RFC 3161 2.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct MessageImprint {
    pub(super) hash_algorithm: AlgorithmIdentifierOwned,
    pub(super) hashed_message: OctetString,
}

/// What is signed (RFC 3161 2.4.2), without the fields that this authority leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct TstInfo {
    pub(super) version: u8,
    pub(super) policy: ObjectIdentifier,
    pub(super) message_imprint: MessageImprint,
    pub(super) serial_number: SerialNumber,
    pub(super) gen_time: GeneralizedTime,
    pub(super) accuracy: Accuracy,
    #[asn1(default = "no")]
    pub(super) ordering: bool,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<Int>,
}

/// RFC 3161 2.4.2, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub(super) struct Accuracy {
    pub(super) seconds: u8,
}

/// RFC 3161 2.4.2.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct TimeStampResp {
    pub(super) status: PkiStatusInfo,
    #[asn1(optional = "true")]
    pub(super) time_stamp_token: Option<ContentInfo>,
}

/// RFC 3161 2.4.2, as in RFC 4210 5.2.3.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct PkiStatusInfo {
    pub(super) status: u8,
    #[asn1(optional = "true")]
    pub(super) status_string: Option<Vec<String>>,
    #[asn1(optional = "true")]
    pub(super) fail_info: Option<BitString>,
}

/// PKIStatus: there is a token.
pub(super) const GRANTED: u8 = 0;
/// PKIStatus: there is none.
pub(super) const REJECTION: u8 = 2;

/// PKIFailureInfo (RFC 3161 2.4.2): why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureInfo {
    /// `badAlg`: a hash algorithm that is not supported.
    BadAlgorithm,
    /// `badRequest`: something else that is not supported.
    BadRequest,
    /// `badDataFormat`: not a request, or one that contradicts itself.
    BadDataFormat,
    /// `timeNotAvailable`: the clock cannot be relied on.
    TimeNotAvailable,
    /// `unacceptedPolicy`: a policy that is not this authority's.
    UnacceptedPolicy,
    /// `unacceptedExtension`: an extension; none is supported.
    UnacceptedExtension,
    /// `systemFailure`: the authority does not work now.
    SystemFailure,
}

impl FailureInfo {
    const fn bit(self) -> u8 {
        match self {
            Self::BadAlgorithm => 0,
            Self::BadRequest => 2,
            Self::BadDataFormat => 5,
            Self::TimeNotAvailable => 14,
            Self::UnacceptedPolicy => 15,
            Self::UnacceptedExtension => 16,
            Self::SystemFailure => 25,
        }
    }

    /// That bit alone; named bits end with the last one that is set (X.690 11.2.2).
    pub(super) fn to_bit_string(self) -> der::Result<BitString> {
        let (octet, bit) = (self.bit() / 8, self.bit() % 8);
        let mut octets = vec![0; usize::from(octet)];
        octets.push(0x80 >> bit);
        BitString::new(7_u8.saturating_sub(bit), octets)
    }
}

/// Names the signer's certificate by its SHA-256, which DER leaves out as the default (RFC 5035 3 and 4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct SigningCertificateV2 {
    pub(super) certs: Vec<EssCertIdV2>,
}

/// RFC 5035 4.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct EssCertIdV2 {
    pub(super) cert_hash: OctetString,
}

/// The default of optional flags.
fn no() -> bool {
    false
}

//! The small values of a log entry: time, position, and what it names by hash.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the `leaf_index` extension list: type 0, length 5, then the index in 40 bits.
const LEAF_INDEX_PREFIX: [u8; 3] = [0, 0, 5];

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (RFC 6962 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// A time from its number of milliseconds.
    pub const fn new(millis: u64) -> UnixMillis {
        UnixMillis(millis)
    }

    /// The system clock now; 0 before 1970.
    pub fn now() -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The number of milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Position of an entry in the log: 40 bits, as static-ct-api encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(u64);

impl LeafIndex {
    /// Greatest index that the extension can carry.
    pub const MAX: u64 = (1 << 40) - 1;

    /// An index, or nothing if it needs more than 40 bits.
    pub const fn new(index: u64) -> Option<LeafIndex> {
        if index <= LeafIndex::MAX {
            Some(LeafIndex(index))
        } else {
            None
        }
    }

    /// The index as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The `CtExtensions` of the entry: exactly one `leaf_index` extension (static-ct-api, "SCT Extension").
    pub fn extensions(self) -> [u8; 8] {
        let [_, _, _, a, b, c, d, e] = self.0.to_be_bytes();
        let [x, y, z] = LEAF_INDEX_PREFIX;
        [x, y, z, a, b, c, d, e]
    }

    /// Reads back what [`LeafIndex::extensions`] writes; nothing else is accepted.
    pub fn from_extensions(extensions: &[u8]) -> Option<LeafIndex> {
        let [a, b, c, d, e] = *extensions.strip_prefix(&LEAF_INDEX_PREFIX)? else {
            return None;
        };
        Some(LeafIndex(u64::from_be_bytes([0, 0, 0, a, b, c, d, e])))
    }
}

/// SHA-256 of the log's `SubjectPublicKeyInfo` (RFC 6962 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 32]);

/// SHA-256 of the DER of one issuer certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

macro_rules! digest_newtype {
    ($name:ident) => {
        impl $name {
            /// The 32 bytes as a value of this type.
            pub const fn new(digest: [u8; 32]) -> $name {
                $name(digest)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        /// Lower-case hexadecimal.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
    };
}

digest_newtype!(LogId);
digest_newtype!(Fingerprint);

/// Where and when an entry stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) index: LeafIndex,
    pub(crate) timestamp: UnixMillis,
}

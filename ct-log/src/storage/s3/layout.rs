//! What lies where in a bucket, and how a web server or CDN in front of it is to serve it.
//!
//! ```text
//! log.json                        who this log is; written last at birth
//! checkpoint                      the last published signed note
//! commit/<first index, 20 digits> one batch each: the commit point of its entries; never changed, never removed
//! tile/...                        full tiles; partial ones if the settings ask for it
//! issuer/<sha256>                 issuer certificates
//! probe/<random>                  left by a self-test that was interrupted; of no use
//! ```

use object_store::{Attribute, Attributes};

/// Where the batches are.
pub(super) const COMMITS: &str = "commit";

/// Caching of what never changes (C2SP static-ct-api, tlog-tiles).
const IMMUTABLE: &str = "public, max-age=604800, immutable";

/// Caching of the checkpoint: as long as two of them are apart.
const BRIEF: &str = "public, max-age=1";

/// For what no reader needs.
const PRIVATE: &str = "no-store";

/// The key of the batch whose first entry has that index. Keys are in the order of the tree.
pub(super) fn commit_key(first_index: u64) -> String {
    format!("{COMMITS}/{first_index:020}")
}

/// The first index of the batch of that key.
pub(super) fn first_index(key: &str) -> Option<u64> {
    let index = key.strip_prefix(COMMITS)?.strip_prefix('/')?.parse().ok()?;
    (commit_key(index) == key).then_some(index)
}

/// Media type and caching as C2SP static-ct-api has them.
pub(super) fn attributes(key: &str) -> Attributes {
    let (media_type, caching) = match key.split('/').next() {
        Some("checkpoint") => ("text/plain; charset=utf-8", BRIEF),
        Some("tile") => ("application/octet-stream", IMMUTABLE),
        Some("issuer") => ("application/pkix-cert", IMMUTABLE),
        Some("log.json") => ("application/json", PRIVATE),
        _ => ("application/octet-stream", PRIVATE),
    };
    Attributes::from_iter([
        (Attribute::ContentType, media_type),
        (Attribute::CacheControl, caching),
    ])
}

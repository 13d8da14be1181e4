//! The timestamp authority, under the root of the CA.

use std::time::Duration;

use mayfly::{
    clock::Timestamp,
    issuer::ceremony::{self, KeyKind},
    key::SigningKey,
    timestamp::{DEFAULT_POLICY, TimestampChain, TimestampSigner},
};

use super::{
    folder::{self, Layout},
    keys,
    plan::Timestamps,
};
use crate::cli::failure::Failure;

/// Makes key and certificate; the chain passes the checks of a start, with its key. `root` is the root's key and certificate (DER).
pub(super) async fn certify(
    timestamps: &Timestamps,
    kind: KeyKind,
    (root_key, root, lifetime, now): (&dyn SigningKey, &[u8], Duration, Timestamp),
    layout: &Layout,
) -> Result<TimestampChain, Failure> {
    let key = keys::timestamps(&timestamps.key, kind, layout.timestamp_key()).await?;
    let keys = (root_key, key.as_ref());
    let names = timestamps.names.clone();
    let certificate = ceremony::certify_timestamp_authority(names, keys, lifetime, now).await?;
    let der = vec![certificate, root.to_vec()];
    let chain = TimestampChain::from_der(der, now)?;
    folder::write_new(&layout.timestamp_chain(), &chain.to_pem())?;
    let signer = TimestampSigner::new(key, chain, DEFAULT_POLICY).await?;
    Ok(signer.chain().clone())
}

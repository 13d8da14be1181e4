//! The timestamp authority, under the root of the CA.

use std::{path::PathBuf, sync::Arc, time::Duration};

use der::Decode;
use mayfly::{
    clock::Timestamp,
    issuer::ceremony::{self, KeyKind},
    key::SigningKey,
    timestamp::{DEFAULT_POLICY, TimestampChain, TimestampSigner},
};
use x509_cert::Certificate;

use super::{
    folder::{self, Layout},
    keys,
    plan::Timestamps,
};
use crate::cli::failure::Failure;

/// Makes key and certificate, in these files; the chain passes the checks of a start, with its key. `root` is the root's key and
/// certificate (DER).
pub(in crate::cli) async fn certify(
    timestamps: &Timestamps,
    kind: KeyKind,
    (root_key, root, lifetime, now): (&dyn SigningKey, &[u8], Duration, Timestamp),
    (key_file, chain_file): (PathBuf, PathBuf),
) -> Result<Arc<TimestampChain>, Failure> {
    let key = keys::timestamps(&timestamps.key, kind, key_file).await?;
    let (keys, name) = ((root_key, key.as_ref()), timestamps.name.clone());
    let certified = Certificate::from_der(root)?;
    let certificate = ceremony::certify_timestamp_authority(&certified, name, keys, lifetime, now).await?;
    let chain = TimestampChain::from_der(vec![certificate, root.to_vec()], now)?;
    folder::write_new(&chain_file, &chain.to_pem())?;
    let signer = TimestampSigner::new(key, chain, DEFAULT_POLICY).await?;
    Ok(Arc::clone(signer.chain()))
}

/// Makes the key, and with it the request (DER) for a root elsewhere.
pub(super) async fn request(
    timestamps: &Timestamps,
    kind: KeyKind,
    layout: &Layout,
) -> Result<Vec<u8>, Failure> {
    let key = keys::timestamps(&timestamps.key, kind, layout.timestamp_key()).await?;
    let name = timestamps.name.clone();
    Ok(ceremony::request_timestamp_authority(name, key.as_ref()).await?)
}

//! Signed metadata: as bytes, and its signatures.

use std::{num::NonZeroU64, path::Path, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tough::schema::{Role, RoleType, Root, Signed};

use super::{
    TufError,
    folder::{read, read_if_there},
    key::{KeyId, Signer},
};
use crate::clock::Timestamp;

/// The version of the specification that is followed.
pub(super) const SPECIFICATION: &str = "1.0.31";

/// Largest metadata in bytes: some hundred times what is usual.
pub(super) const LARGEST: u64 = 1024 * 1024;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Without signatures.
pub(super) fn unsigned<T>(signed: T) -> Signed<T> {
    Signed {
        signed,
        signatures: Vec::new(),
    }
}

/// Indented and with sorted names: people read and compare these files. What is signed is the canonical form.
pub(super) fn encode<T: Role>(metadata: &Signed<T>) -> Result<Vec<u8>, TufError> {
    let unwritable = |_| TufError::Unwritable(T::TYPE);
    let sorted = serde_json::to_value(metadata).map_err(unwritable)?;
    let mut text = serde_json::to_vec_pretty(&sorted).map_err(unwritable)?;
    text.push(b'\n');
    Ok(text)
}

pub(super) fn decode<T: DeserializeOwned>(path: &Path) -> Result<Signed<T>, TufError> {
    parse(path, &read(path, LARGEST)?)
}

/// Like [`decode`], and nothing if there is no such file.
pub(super) fn decode_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<Signed<T>>, TufError> {
    let text = read_if_there(path, LARGEST)?;
    text.map(|text| parse(path, &text)).transpose()
}

fn parse<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<Signed<T>, TufError> {
    serde_json::from_slice(text).map_err(|source| TufError::Metadata {
        path: path.to_owned(),
        source,
    })
}

/// Adds the signatures of those whose keys are among `keys`, in place of earlier ones of theirs.
pub(super) async fn sign<T: Role>(
    metadata: &mut Signed<T>,
    keys: &[KeyId],
    signers: &[Signer],
) -> Result<(), TufError> {
    let message = metadata
        .signed
        .canonical_form()
        .map_err(|_| TufError::Unwritable(T::TYPE))?;
    let members = signers.iter();
    for signer in members.filter(|signer| keys.contains(signer.public().key_id())) {
        let signature = signer.sign(&message).await?;
        metadata.signatures.retain(|old| old.keyid != signature.keyid);
        metadata.signatures.push(signature);
    }
    metadata
        .signatures
        .sort_by(|one, other| one.keyid.cmp(&other.keyid));
    Ok(())
}

/// The keys that `root` gives to a role.
pub(super) fn keys_of(root: &Root, role: RoleType) -> Vec<KeyId> {
    root.roles
        .get(&role)
        .map(|role| role.keyids.clone())
        .unwrap_or_default()
}

/// Whether this one key of the role, as `root` knows it, has signed.
pub(super) fn has_signed<T: Role + Serialize>(root: &Root, key: &KeyId, metadata: &Signed<T>) -> bool {
    let mut alone = root.clone();
    let Some(role) = alone.roles.get_mut(&T::TYPE) else {
        return false;
    };
    role.keyids = vec![key.clone()];
    role.threshold = NonZeroU64::MIN;
    alone.verify_role(metadata).is_ok()
}

pub(super) fn after(version: NonZeroU64, role: RoleType) -> Result<NonZeroU64, TufError> {
    version.checked_add(1).ok_or(TufError::Unwritable(role))
}

/// So many days after `now`, in whole seconds, as clients want it.
pub(super) fn end(now: Timestamp, days: u32, role: RoleType) -> Result<jiff::Timestamp, TufError> {
    let seconds = now.plus(DAY * days).unix_seconds();
    let seconds = i64::try_from(seconds).map_err(|_| TufError::Unwritable(role))?;
    jiff::Timestamp::from_second(seconds).map_err(|_| TufError::Unwritable(role))
}

/// Before 1970 there was nothing to sign: such a time counts as 1970.
pub(super) fn timestamp(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_unix(Duration::from_secs(
        u64::try_from(time.as_second()).unwrap_or_default(),
    ))
}

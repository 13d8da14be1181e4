//! The timestamp authority of `mayfly dev`.

use std::{str::FromStr, sync::Arc};

use mayfly::{
    clock::{Clock, SystemClock},
    dev::data_dir::{DataDir, write_public},
    issuer::ceremony::{self, KeyKind, NewAuthority, TimestampNames},
    key::{KeySettings, SigningKey, SoftwareKey, file as key_file},
    telemetry::KeyMetrics,
    timestamp::{DEFAULT_POLICY, TimestampAuthority, TimestampChain, TimestampSigner, WatchedClock},
};
use x509_cert::name::Name;

use super::{failure::Failure, place::Place};

/// Subjects of the certificates (RFC 4514).
const ROOT: &str = "CN=Mayfly development timestamp root,O=Mayfly development";
const AUTHORITY: &str = "CN=Mayfly development timestamp authority,O=Mayfly development";

/// The first start: key and certificates, in a directory that has none of them yet.
pub(super) async fn create(data_dir: &DataDir, kind: KeyKind) -> Result<(), Failure> {
    let new = generate(kind).await?;
    let chain = TimestampChain::from_der(new.chain, SystemClock.now())?;
    write_public(&data_dir.timestamp_chain(), &chain.to_pem())?;
    key_file::write_new(&data_dir.timestamp_key(), &new.key, None)?;
    Ok(())
}

/// Every start: what [`create`] made, or others in memory.
pub(super) async fn open(place: &Place, kind: KeyKind) -> Result<TimestampAuthority, Failure> {
    let now = SystemClock.now();
    let (chain, key): (_, Arc<dyn SigningKey>) = match place {
        Place::Kept { data_dir, .. } => {
            let key = KeySettings::plain_file(data_dir.timestamp_key());
            let pem = std::fs::read(data_dir.timestamp_chain())?;
            (
                TimestampChain::from_pem(&pem, now)?,
                key.open("timestamp", &KeyMetrics::new()?).await?,
            )
        }
        Place::Ephemeral { .. } => {
            let new = generate(kind).await?;
            (
                TimestampChain::from_der(new.chain, now)?,
                Arc::new(SoftwareKey::from_pkcs8_der(&new.key)?),
            )
        }
    };
    let signer = TimestampSigner::new(key, chain, DEFAULT_POLICY).await?;
    Ok(TimestampAuthority::new(signer, WatchedClock::of_this_machine()))
}

async fn generate(kind: KeyKind) -> Result<NewAuthority, Failure> {
    let names = TimestampNames {
        root: Name::from_str(ROOT)?,
        authority: Name::from_str(AUTHORITY)?,
    };
    Ok(ceremony::generate_timestamp_authority(names, kind, SystemClock.now()).await?)
}

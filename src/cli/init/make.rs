//! The ceremony itself: everything is made beside its place, checked as `mayfly serve` would, then put there at once.

use std::sync::Arc;

use mayfly::{
    clock::{Clock, SystemClock},
    config::Settings,
    deployment::PublicHalves,
    issuer::{CertificateChain, ChainError, Issuer, ceremony},
    key::SigningKey,
    log::embedded::{EmbeddedLogSettings, PromiseSettings, ShardKey, ShardSettings},
    pem_block,
    staging::StagedFolder,
    telemetry::KeyMetrics,
    timestamp::TimestampChain,
};
use tokio::task::spawn_blocking;

use super::{
    configuration,
    folder::{self, Layout, io_error},
    keys,
    plan::{Plan, Root, ServerKey},
    request,
    summary::Summary,
    timestamps,
};
use crate::cli::failure::Failure;

pub(super) async fn run(plan: &Plan) -> Result<Summary, Failure> {
    let place = Layout::at(&plan.directory);
    plan.issuers
        .check(&place.issuers())
        .map_err(Failure::configuration)?;
    let staged = StagedFolder::beside(place.path(), ".mayfly-init-").map_err(io_error(place.path()))?;
    let layout = Layout::at(staged.path());
    for made in [layout.server(), layout.clients()] {
        folder::make(&made)?;
    }
    let ca_key = keys::intermediate(&plan.ca, plan.kind, layout.ca_key()).await?;
    let (chain, timestamps) = match &plan.root {
        Some(root) => {
            let (chain, timestamps) = certify(root, plan, ca_key, &layout).await?;
            (Some(chain), timestamps)
        }
        None => {
            request::write(plan, ca_key.as_ref(), (&layout, &place)).await?;
            (None, None)
        }
    };
    write_configuration(plan, &layout)?;
    // Last: from here on, a key that is not in a file has signed for a log.
    let log_key = make_log(plan, &layout).await?;
    if chain.is_some() {
        write_client_files(&Settings::load(&layout.settings())?, &layout).await?;
    }
    staged.publish().map_err(io_error(place.path()))?;
    Summary::of_ceremony(plan, &place, (chain.as_ref(), timestamps.as_deref(), &log_key))
}

/// Root, intermediate and timestamp authority; the chains pass the checks of a start, with their keys.
async fn certify(
    root: &Root,
    plan: &Plan,
    ca_key: Arc<dyn SigningKey>,
    layout: &Layout,
) -> Result<(CertificateChain, Option<Arc<TimestampChain>>), Failure> {
    folder::make(&layout.root())?;
    let root_key = keys::root(&root.key, plan.kind, layout.root_key()).await?;
    let now = SystemClock.now();
    let keys = (root_key.as_ref(), ca_key.as_ref());
    let der = ceremony::certify(plan.names.clone(), keys, root.lifetimes, now).await?;
    let chain = CertificateChain::from_der(der, now)?;
    folder::write_new(&layout.chain(), &chain.pem().concat())?;
    let root_pem = chain.pem().last().map_or("", String::as_str);
    folder::write_new(&layout.root_certificate(), root_pem)?;
    let pem = chain.pem().concat();
    let timestamps = match &plan.timestamps {
        Some(timestamps) => {
            let root_der = chain.der().last().ok_or(ChainError::TooShort)?;
            let lifetime = root.lifetimes.intermediate;
            let by = (root_key.as_ref(), root_der.as_slice(), lifetime, now);
            let files = (layout.timestamp_key(), layout.timestamp_chain());
            Some(timestamps::certify(timestamps, plan.kind, by, files).await?)
        }
        None => None,
    };
    Issuer::new(ca_key, chain).await?;
    Ok((CertificateChain::from_pem(pem.as_bytes(), now)?, timestamps))
}

fn write_configuration(plan: &Plan, layout: &Layout) -> Result<(), Failure> {
    folder::write_new(&layout.issuers(), &plan.issuers.file())?;
    let text = configuration::settings(plan);
    match &plan.root {
        Some(_) => {
            folder::write_new(&layout.settings(), &text)?;
            Settings::load(&layout.settings())?;
            Ok(())
        }
        None => Ok(folder::write_new(&layout.settings_without_chain(), &text)?),
    }
}

/// Makes the log, with its key if that is to be made; the log's public key: DER SubjectPublicKeyInfo.
async fn make_log(plan: &Plan, layout: &Layout) -> Result<Vec<u8>, Failure> {
    let origin = plan.host.log_origin();
    let settings = EmbeddedLogSettings::in_directory(layout.log(), origin, layout.log_key());
    let promise = PromiseSettings::default();
    let shard = settings.shards.into_iter().next().ok_or("a log has a shard")?;
    let shard = ShardSettings {
        high_water: Some(layout.log_mark()),
        ..shard
    };
    let log = match &plan.log {
        ServerKey::New(secret) => {
            let passphrase = secret.as_ref().map(|secret| secret.passphrase.clone());
            spawn_blocking(move || shard.create_with_new_key(&promise, passphrase)).await??
        }
        ServerKey::Existing(key) => {
            let key = ShardKey::Signing(key.clone());
            let shard = ShardSettings { key, ..shard };
            shard.create(&promise, &KeyMetrics::new()?).await?
        }
    };
    let public = log.public_key().spki_der().to_vec();
    log.shutdown().await;
    let pem = pem_block::encode("PUBLIC KEY", &public);
    folder::write_new(&layout.log_public_key(), &pem)?;
    Ok(public)
}

/// What clients need: all that can be told from the configuration and what it names. Files that are there stay.
pub(super) async fn write_client_files(settings: &Settings, layout: &Layout) -> Result<(), Failure> {
    let halves = PublicHalves::read(settings, None).await?;
    for file in halves.material.files(SystemClock.now())? {
        let path = layout.clients().join(file.name);
        if !path.exists() {
            folder::write_new(&path, &file.contents)?;
        }
    }
    Ok(())
}

//! A log's key outside this process, in the form in which the log asks it.

use std::sync::Arc;

use ct_log::{
    LogKey, LogPublicKey,
    key::{LogSignature, RemoteLogKey},
};
use tokio::runtime::Handle;

use crate::{
    key::{KeySettings, SigningKey},
    telemetry::KeyMetrics,
};

/// Opens the key of the log of that origin.
pub(super) async fn open(
    key: &KeySettings,
    origin: &str,
    metrics: &KeyMetrics,
) -> Result<LogKey, super::EmbeddedLogError> {
    let signing = key.open(&format!("log {origin}"), metrics).await?;
    let public = LogPublicKey::from_spki_der(signing.spki_der())?;
    let runtime = Handle::current();
    Ok(LogKey::remote(public, Arc::new(RuntimeKey { signing, runtime })))
}

/// Signs on the runtime, since the log's own threads have none and services are reached over the network.
struct RuntimeKey {
    signing: Arc<dyn SigningKey>,
    runtime: Handle,
}

impl RemoteLogKey for RuntimeKey {
    fn sign<'a>(&'a self, message: &'a [u8]) -> LogSignature<'a> {
        let (signing, message) = (Arc::clone(&self.signing), message.to_vec());
        let signed = self.runtime.spawn(async move { signing.sign(&message).await });
        Box::pin(async move { Ok(signed.await??) })
    }
}

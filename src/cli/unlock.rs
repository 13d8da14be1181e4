//! Keys that are there, unlocked: by what is in the place of their passphrase, or by somebody who types it.

use std::{path::Path, sync::Arc};

use mayfly::{
    key::{
        KeyReference, KeySettings, SigningKey, SoftwareKey,
        file::{self as key_file, KeyFileError},
    },
    telemetry::KeyMetrics,
};

use super::{failure::Failure, terminal::Terminal};

/// Asks for the passphrase of an encrypted file if no place of it is named and somebody is there.
pub(super) async fn open(settings: &KeySettings, purpose: &str) -> Result<Arc<dyn SigningKey>, Failure> {
    if let (KeyReference::File(path), None, Some(terminal)) =
        (&settings.reference, &settings.passphrase, Terminal::find())
        && matches!(key_file::read(path, None), Err(KeyFileError::Encrypted))
    {
        return typed(path, &terminal);
    }
    Ok(settings.open(purpose, &KeyMetrics::new()?).await?)
}

/// Until it is right, or empty.
fn typed(path: &Path, terminal: &Terminal) -> Result<Arc<dyn SigningKey>, Failure> {
    loop {
        let passphrase = terminal.passphrase(&path.display().to_string())?;
        let passphrase = passphrase.ok_or(KeyFileError::Encrypted)?;
        match key_file::read_with(path, &passphrase) {
            Err(KeyFileError::WrongPassphrase) => terminal.say("That is not its passphrase.")?,
            read => return Ok(Arc::new(SoftwareKey::from_pkcs8_der(&read?)?)),
        }
    }
}

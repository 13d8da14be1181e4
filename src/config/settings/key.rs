//! `key` and `passphrase` of a section: where a private key is, and what unlocks it.

use crate::{
    config::{
        fields::{Fields, Text},
        path::Folder,
        problem::Problems,
    },
    key::{KeyReference, KeySettings, passphrase::PassphraseSource},
};

/// Whether the file of a key must be there.
#[derive(Clone, Copy)]
pub(super) enum Existing {
    Yes,
    /// It is made at the first start otherwise.
    OrNew,
}

pub(super) fn read(
    fields: &Fields<'_>,
    existing: Existing,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<KeySettings> {
    let suggestion = "Name a PKCS#8 PEM file, or a key elsewhere, such as awskms:///alias/ca";
    let text = fields.required_text("key", suggestion, problems);
    let passphrase_text = fields.text("passphrase", problems);
    let passphrase = match &passphrase_text {
        None => Some(None),
        Some(text) => source(text, folder, problems).map(Some),
    };
    let reference = reference(&text?, existing, folder, problems)?;
    if let Some(text) = passphrase_text.filter(|_| reference.names_its_pin()) {
        let suggestion = "Name the place of the PIN here, or as pin-source in the key's URI, not both";
        problems.report(&text.place, "is one of two places of the PIN", suggestion);
    }
    Some(KeySettings {
        reference,
        passphrase: passphrase?,
    })
}

fn reference(
    text: &Text<'_>,
    existing: Existing,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<KeyReference> {
    match text.value.parse::<KeyReference>() {
        Ok(KeyReference::File(path)) => {
            let path = path.to_string_lossy();
            let text = Text {
                place: text.place.clone(),
                value: &path,
            };
            let path = match existing {
                Existing::Yes => folder.key_file(&text, problems),
                Existing::OrNew => folder.new_key_file(&text, problems),
            };
            path.map(KeyReference::File)
        }
        Ok(elsewhere) => Some(elsewhere),
        Err(error) => {
            problems.report(&text.place, error.to_string(), "");
            None
        }
    }
}

fn source(text: &Text<'_>, folder: &Folder, problems: &mut Problems) -> Option<PassphraseSource> {
    match text.value.parse::<PassphraseSource>() {
        Ok(PassphraseSource::File(path)) => {
            let path = path.to_string_lossy();
            let text = Text {
                place: text.place.clone(),
                value: &path,
            };
            let path = folder.secret_file(&text, "a passphrase", problems);
            path.map(PassphraseSource::File)
        }
        Ok(elsewhere) => Some(elsewhere),
        Err(_) => {
            // It is not repeated: it may be the passphrase itself.
            let suggestion = "Write file:PATH, env:NAME or credential:NAME (of a systemd credential)";
            problems.report(&text.place, "is not the place of a passphrase", suggestion);
            None
        }
    }
}

//! What protects a new key in a file.

use std::{io, path};

use mayfly::key::passphrase::{Passphrase, PassphraseError, PassphraseSource};

use crate::cli::{failure::Failure, terminal::Terminal};

/// A passphrase, and where it will come from when the key is used.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Secret {
    pub(in crate::cli) passphrase: Passphrase,
    pub(in crate::cli) source: PassphraseSource,
}

/// Where the passphrase of the server's keys will come from, if it was typed.
const TYPED: &str = "MAYFLY_PASSPHRASE";

impl Secret {
    pub(in crate::cli) fn typed(passphrase: Passphrase) -> Self {
        let source = PassphraseSource::Environment(TYPED.to_owned());
        Self { passphrase, source }
    }
}

/// `--…-passphrase`, from which nothing is repeated: it may be the passphrase itself.
pub(in crate::cli) fn source(option: &str, text: Option<&str>) -> Result<Option<PassphraseSource>, Failure> {
    let parse = |text: &str| {
        let source: PassphraseSource = text.parse().map_err(|source: PassphraseError| BadPlace {
            option: option.to_owned(),
            source,
        })?;
        absolute(source).map_err(Failure::from)
    };
    text.map(parse)
        .transpose()
        .map_err(|failure: Failure| failure.at_command_line())
}

/// An option does not name the place of a passphrase.
#[derive(Debug, thiserror::Error)]
#[error("{option} cannot be used")]
struct BadPlace {
    option: String,
    source: PassphraseError,
}

/// A path counts from here, in mayfly.yaml from the folder of that.
fn absolute(source: PassphraseSource) -> io::Result<PassphraseSource> {
    Ok(match source {
        PassphraseSource::File(file) => PassphraseSource::File(path::absolute(file)?),
        elsewhere => elsewhere,
    })
}

/// What is in that place; what is typed, if it is empty and somebody is there.
pub(in crate::cli) fn read(
    source: &PassphraseSource,
    of: &str,
    terminal: Option<&Terminal>,
) -> Result<Passphrase, Failure> {
    let missing = match source.read() {
        Ok(passphrase) => return Ok(passphrase),
        Err(error) => error,
    };
    let not_yet = matches!(
        missing,
        PassphraseError::NoVariable(_) | PassphraseError::NoCredentials(_)
    );
    if let (true, Some(terminal)) = (not_yet, terminal) {
        terminal.say(&format!("{source} is empty here, so type what it will hold."))?;
        if let Some(passphrase) = terminal.new_passphrase(of)? {
            return Ok(passphrase);
        }
    }
    Err(NoPassphrase {
        of: of.to_owned(),
        source: missing,
    }
    .into())
}

/// The passphrase of a key that is to be made is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("there is no passphrase for {of}")]
struct NoPassphrase {
    of: String,
    source: PassphraseError,
}

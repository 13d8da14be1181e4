//! What the store's errors mean to the log.

use std::error::Error;
use std::io::{self, ErrorKind};

use object_store::client::{HttpError, HttpErrorKind};

use crate::reach::Away;

/// Longest error code that is repeated, in characters; the longest of Amazon S3 has 43.
const MAX_CODE: usize = 64;

/// Longest part of an error text that is repeated, in characters.
const MAX_TEXT: usize = 300;

/// Nothing was sent: the connection did not come about.
pub(super) fn is_unsent(error: &object_store::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return http.kind() == HttpErrorKind::Connect;
        }
        source = error.source();
    }
    false
}

/// For the log: the store is away, whatever the reason. That it refuses the credentials, or fails, passes as well.
pub(super) fn away(error: &object_store::Error) -> io::Error {
    Away::error(describe(error))
}

/// For people. The bodies of error answers stay out but for their code: some repeat the request with its session token.
pub(super) fn describe(error: &object_store::Error) -> String {
    let text = match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        object_store::Error::PermissionDenied { .. } => "the store denies permission (403)".to_owned(),
        object_store::Error::Unauthenticated { .. } => {
            "the store does not accept the credentials (401)".to_owned()
        }
        object_store::Error::NotFound { .. } => {
            "the store does not know the bucket or object (404)".to_owned()
        }
        other => other.to_string(),
    };
    let shown = text.split(['<', '{', '\n']).next().unwrap_or_default();
    let shown: String = shown.chars().take(MAX_TEXT).collect();
    match code(&error.to_string()) {
        Some(code) => format!("{}: {code}", shown.trim_end_matches([' ', ':'])),
        None => shown.trim_end_matches([' ', ':']).to_owned(),
    }
}

/// The content of `<Code>` in an error document of S3 (Amazon S3 API reference, "REST error responses").
fn code(text: &str) -> Option<String> {
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let plain = code.len() <= MAX_CODE && code.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

/// Stored bytes that are not those that the log would have stored.
pub(super) fn differs(key: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("{key} exists with other contents"),
    )
}

//! The parameters of RFC 6962's `GET` requests. Whatever is wrong with one is the client's to mend: the error names it.

use axum::extract::Query;
use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::tree::Hash;

/// What is wrong with the parameters of a request.
#[derive(Debug, Error)]
pub(super) enum ParameterError {
    #[error("the query string cannot be read")]
    Query,
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    #[error("the parameter {0} is there more than once")]
    Repeated(&'static str),
    #[error("the parameter {0} is not a decimal number from 0 to 18446744073709551615")]
    NotNumber(&'static str),
    #[error(
        "the parameter {0} is not the base64 of 32 bytes (RFC 4648 section 4, padded; in a URL, + is written %2B)"
    )]
    NotHash(&'static str),
    #[error("the parameter {name} is {value}, but the log has published {size} entries")]
    Beyond {
        name: &'static str,
        value: u64,
        size: u64,
    },
    #[error("the parameter {smaller} must not be greater than {greater}")]
    Inverted {
        smaller: &'static str,
        greater: &'static str,
    },
    #[error("the parameter {0} must not be 0: a proof needs a tree")]
    Empty(&'static str),
    #[error("the parameter leaf_index is {index}, but the tree of tree_size {size} ends before it")]
    OutsideTree { index: u64, size: u64 },
}

/// The parameters as they were sent, percent-decoded.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Parameters, ParameterError> {
        let query = Query::try_from_uri(uri).map_err(|_| ParameterError::Query)?;
        Ok(Parameters(query.0))
    }

    /// Digits only: no sign, no space.
    pub(super) fn number(&self, name: &'static str) -> Result<u64, ParameterError> {
        let value = self.one(name)?;
        if !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParameterError::NotNumber(name));
        }
        value.parse().map_err(|_| ParameterError::NotNumber(name))
    }

    pub(super) fn hash(&self, name: &'static str) -> Result<Hash, ParameterError> {
        let decoded = STANDARD.decode(self.one(name)?).ok();
        let hash = decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        hash.map(Hash::new).ok_or(ParameterError::NotHash(name))
    }

    /// The size of a tree that the log has published, with at least one entry.
    pub(super) fn tree_size(&self, published: u64) -> Result<u64, ParameterError> {
        match self.number("tree_size")? {
            0 => Err(ParameterError::Empty("tree_size")),
            size => within("tree_size", size, published),
        }
    }

    fn one(&self, name: &'static str) -> Result<&str, ParameterError> {
        let mut values = self.0.iter().filter(|(parameter, _)| parameter == name);
        match (values.next(), values.next()) {
            (None, _) => Err(ParameterError::Missing(name)),
            (Some((_, value)), None) => Ok(value),
            (Some(_), Some(_)) => Err(ParameterError::Repeated(name)),
        }
    }
}

/// That size, unless the log has not published so many entries.
pub(super) fn within(name: &'static str, size: u64, published: u64) -> Result<u64, ParameterError> {
    if size > published {
        return Err(ParameterError::Beyond {
            name,
            value: size,
            size: published,
        });
    }
    Ok(size)
}

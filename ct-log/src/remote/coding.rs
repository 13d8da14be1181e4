//! Content codings of answers (RFC 9110 section 8.4): none and gzip, whether asked for or not.

use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

/// How much of a coding's name is repeated.
const MAX_NAME_CHARS: usize = 40;

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// Why an encoded answer is not read. `Display` completes a sentence that begins with the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodingError {
    /// It was not asked for in this coding; the value is printable.
    #[error("is encoded as {0}; only gzip is accepted")]
    Unknown(String),
    /// It is damaged.
    #[error("is not the gzip that it claims to be")]
    NotGzip(#[source] io::Error),
    /// More than the given bytes come out.
    #[error("is over {0} bytes")]
    TooLarge(usize),
}

impl Coding {
    /// What `Content-Encoding` says.
    ///
    /// # Errors
    /// [`CodingError::Unknown`].
    pub fn of(headers: &HeaderMap) -> Result<Coding, CodingError> {
        let named = headers.get_all(CONTENT_ENCODING).iter();
        match named.map(HeaderValue::as_bytes).collect::<Vec<_>>().as_slice() {
            [] => Ok(Coding::Identity),
            [name] if name.eq_ignore_ascii_case(b"identity") => Ok(Coding::Identity),
            [name] if name.eq_ignore_ascii_case(b"gzip") => Ok(Coding::Gzip),
            names => {
                let names = names.join(&b", "[..]);
                let name = names.escape_ascii().to_string();
                Err(CodingError::Unknown(name.chars().take(MAX_NAME_CHARS).collect()))
            }
        }
    }

    /// What was encoded, if it has `limit` bytes at most; no more than that is decoded.
    ///
    /// # Errors
    /// It is larger, or not in this coding.
    pub fn decode(self, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, CodingError> {
        if self == Coding::Identity {
            return Ok(body);
        }
        let mut decoded = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = MultiGzDecoder::new(body.as_slice())
            .take(most)
            .read_to_end(&mut decoded);
        read.map_err(CodingError::NotGzip)?;
        if decoded.len() > limit {
            return Err(CodingError::TooLarge(limit));
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_gzip_does_not_become_much() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut bomb, &[0; 1_000_000]).unwrap();
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 2_000);
        let decode = |bytes: &[u8], limit| Coding::Gzip.decode(bytes.to_vec(), limit);
        assert!(matches!(
            decode(&bomb, 999_999),
            Err(CodingError::TooLarge(999_999))
        ));
        assert_eq!(decode(&bomb, 1_000_000).unwrap().len(), 1_000_000);
        assert!(matches!(
            decode(&bomb[..100], 1_000_000),
            Err(CodingError::NotGzip(_))
        ));
    }

    #[test]
    fn another_coding_is_named() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Coding::of(&headers).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[]), Ok(Coding::Identity));
        assert_eq!(of(&["identity"]), Ok(Coding::Identity));
        assert_eq!(of(&["GZIP"]), Ok(Coding::Gzip));
        for (values, name) in [
            (&["br"][..], "br"),
            (&["gzip", "gzip"], "gzip, gzip"),
            (&["gzip, br"], "gzip, br"),
        ] {
            assert_eq!(
                of(values),
                Err(format!("is encoded as {name}; only gzip is accepted"))
            );
        }
    }
}

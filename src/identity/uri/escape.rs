//! Percent-encoding as Go's `net/url` does it when a URL is parsed and printed again: Fulcio's
//! certificates have such names, and verifiers compare bytes. A part of which every character may
//! stand in it is kept as it is; any other part is decoded and encoded anew. Fulcio certifies the
//! result even if something else than the part is encoded there (`release%2f1"` becomes
//! `release/1%22`, which is the name of something else); here such a part is refused.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What Go encodes in a path, beside everything that is not ASCII.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// What Go encodes in a fragment.
const FRAGMENT: &AsciiSet = &PATH
    .remove(b'?')
    .remove(b'!')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

const BAD_PERCENT: &str = "contains a `%` that does not begin a percent-encoded byte";

const DECODED: &str = "contains a percent-encoded character that would be decoded, because another character in it has to be \
                       encoded: it would be the name of something else";

/// A URI as Go prints it.
///
/// # Errors
/// What keeps it from being an absolute URI.
pub(crate) fn printed(text: &str) -> Result<String, &'static str> {
    let (rest, fragment) = cut(text, '#');
    let (rest, query) = cut(rest, '?');
    let (origin, path) = origin_and_path(rest)?;
    let mut printed = format!("{origin}{}", encoded(path, PATH)?);
    if let Some(query) = query {
        printed.push('?');
        printed.push_str(query);
    }
    if let Some(fragment) = fragment.filter(|fragment| !fragment.is_empty()) {
        printed.push('#');
        printed.push_str(&encoded(fragment, FRAGMENT)?);
    }
    Ok(printed)
}

/// A URI as Go's `URL.JoinPath` makes it of an origin and path elements: all that follows the origin is path, and
/// slashes in a row are one. Go resolves `.` and `..`; here they are refused, because then a part of a name would reach
/// beyond its place.
///
/// # Errors
/// What keeps it from being an absolute URI.
pub(crate) fn joined(text: &str) -> Result<String, &'static str> {
    let (origin, path) = origin_and_path(text)?;
    if has_dot_segment(path) {
        return Err(DOT_SEGMENT);
    }
    let mut clean = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !clean.ends_with('/') {
            clean.push(character);
        }
    }
    Ok(format!("{origin}{}", encoded(&clean, PATH)?))
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}

fn origin_and_path(text: &str) -> Result<(&str, &str), &'static str> {
    let (_, rest) = text.split_once("://").ok_or("is not an absolute URI")?;
    let path = rest
        .find('/')
        .map_or(text.len(), |slash| text.len() - rest.len() + slash);
    text.split_at_checked(path).ok_or("is not an absolute URI")
}

fn encoded<'a>(part: &'a str, encode: &'static AsciiSet) -> Result<Cow<'a, str>, &'static str> {
    if !is_percent_encoded(part) {
        return Err(BAD_PERCENT);
    }
    let may_stand =
        |byte: u8| byte.is_ascii() && !is_encoded_alone(byte, encode) || b"!'()*[]%".contains(&byte);
    if part.bytes().all(may_stand) {
        return Ok(Cow::Borrowed(part));
    }
    if percent_encoded_bytes(part).any(|byte| !is_encoded_alone(byte, encode)) {
        return Err(DECODED);
    }
    let decoded: Vec<u8> = percent_decode_str(part).collect();
    Ok(Cow::Owned(percent_encode(&decoded, encode).to_string()))
}

fn is_encoded_alone(byte: u8, encode: &'static AsciiSet) -> bool {
    percent_encode(&[byte], encode)
        .next()
        .is_some_and(|text| text.len() > 1)
}

pub(super) const DOT_SEGMENT: &str = "contains a `.` or `..` path segment";

/// Whether there is a `.` or `..` segment for a reader that decodes the text, or takes `\` for `/`.
pub(super) fn has_dot_segment(text: &str) -> bool {
    let decoded: Cow<'_, [u8]> = percent_decode_str(text).into();
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    decoded.split(|byte| b"/\\?#".contains(byte)).any(is_dots)
}

/// The bytes that `%` and two digits stand for.
fn percent_encoded_bytes(text: &str) -> impl Iterator<Item = u8> {
    let digits = |part: &str| part.get(..2).map(|digits| u8::from_str_radix(digits, 16));
    text.split('%').skip(1).filter_map(digits).flatten()
}

/// Whether every `%` begins a percent-encoded byte (RFC 3986 section 2.1).
pub(super) fn is_percent_encoded(text: &str) -> bool {
    let encoded = |part: &str| {
        let mut bytes = part.bytes();
        let mut is_hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_hex() && is_hex()
    };
    text.split('%').skip(1).all(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expectations are what Go 1.26 prints.
    #[test]
    fn uris_are_printed_as_go_prints_them() {
        for (text, expected) in [
            ("https://a.example", "https://a.example"),
            (
                "https://a.example/b/c@refs/heads/main",
                "https://a.example/b/c@refs/heads/main",
            ),
            ("https://a.example/x//y", "https://a.example/x//y"),
            ("https://a.example/a b", "https://a.example/a%20b"),
            ("https://a.example/a%20b", "https://a.example/a%20b"),
            ("https://a.example/a%20b%25 c", "https://a.example/a%20b%25%20c"),
            ("https://a.example/%C3%a4 c", "https://a.example/%C3%A4%20c"),
            ("https://a.example/a%2fb", "https://a.example/a%2fb"),
            ("https://a.example/%61", "https://a.example/%61"),
            ("https://a.example/b\u{e4}r", "https://a.example/b%C3%A4r"),
            ("https://a.example/it's(1)*[x]!", "https://a.example/it's(1)*[x]!"),
            (
                "https://a.example/it's (1)*[x]!",
                "https://a.example/it%27s%20%281%29%2A%5Bx%5D%21",
            ),
            (
                "https://a.example/{x}|\"<>^`\\",
                "https://a.example/%7Bx%7D%7C%22%3C%3E%5E%60%5C",
            ),
            ("https://a.example/x#y", "https://a.example/x#y"),
            ("https://a.example/x#y z", "https://a.example/x#y%20z"),
            ("https://a.example/x#", "https://a.example/x"),
            ("https://a.example/x?y=z#w", "https://a.example/x?y=z#w"),
        ] {
            assert_eq!(printed(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(printed("https://a.example/100%"), Err(BAD_PERCENT));
        assert_eq!(printed("https://a.example/x#100%zz"), Err(BAD_PERCENT));
        assert!(printed("a.example/x").is_err());
    }

    /// Go would print the second name of each, which is another's.
    #[test]
    fn what_would_be_another_name_once_decoded_is_refused() {
        for (text, others) in [
            (
                "https://a.example/release%2f1\"",
                "https://a.example/release/1%22",
            ),
            (
                "https://a.example/release%2F1 x",
                "https://a.example/release/1%20x",
            ),
            ("https://a.example/x%40refs \"", "https://a.example/x@refs%20%22"),
            ("https://a.example/m%61in\u{e9}", "https://a.example/main%C3%A9"),
            ("https://a.example/a/%2e%2e/b c", "https://a.example/a/../b%20c"),
            ("https://a.example/a%2f..%2fb c", "https://a.example/a/../b%20c"),
            ("https://a.example/x#m%61in z", "https://a.example/x#main%20z"),
        ] {
            assert!(printed(text).is_err(), "{text} would be {others}");
        }
        for text in [
            "https://a.example/release%2f1\"",
            "https://a.example/m%61in\u{e9}",
        ] {
            assert_eq!(joined(text), Err(DECODED), "{text}");
        }
        // Nothing in it is decoded, because nothing in it has to be encoded.
        assert_eq!(
            joined("https://a.example/a%2fb").as_deref(),
            Ok("https://a.example/a%2fb")
        );
    }

    #[test]
    fn dot_segments_are_seen_as_a_reader_sees_them_that_decodes() {
        for text in [
            "a/../b",
            "a/%2e%2E/b",
            "a/.%2e",
            "a%2f..%2fb",
            "a/..%2Fb",
            "a%5c..%5Cb",
            "a\\..\\b",
            ".",
            "a/%2e",
        ] {
            assert!(has_dot_segment(text), "{text}");
            assert_eq!(
                joined(&format!("https://a.example/{text}")),
                Err(DOT_SEGMENT),
                "{text}"
            );
        }
        for text in ["a/b", "a/...", "a/..b/.c", "a/%252e%252e/b", "v1..2", ".github/x"] {
            assert!(!has_dot_segment(text), "{text}");
        }
    }

    #[test]
    fn paths_are_joined_as_go_joins_them() {
        for (text, expected) in [
            ("https://a.example//b///c/", "https://a.example/b/c/"),
            (
                "https://a.example/feature#1?x",
                "https://a.example/feature%231%3Fx",
            ),
            ("https://a.example/a b", "https://a.example/a%20b"),
        ] {
            assert_eq!(joined(text).as_deref(), Ok(expected), "{text}");
        }
    }
}

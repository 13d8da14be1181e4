//! Which URIs a certificate may carry, and `type: uri`, which takes them from `sub`.

mod escape;

use url::Url;

use self::escape::{DOT_SEGMENT, has_dot_segment, is_percent_encoded};
pub(super) use self::escape::{joined, printed};
use super::{
    IdentityError, Names, SubjectName,
    claims::MAX_VALUE_BYTES,
    subject_domain::{SubjectDomainError, issuer_host, same_site},
};
use crate::extension::ExtensionValues;

/// URIs of one scheme and host.
#[derive(Clone, Debug)]
pub struct UriRule {
    /// As the issuer file has it.
    subject_domain: String,
    scheme: String,
    host: String,
}

impl UriRule {
    /// The rule for `subject_domain`, a scheme and a host, of an issuer with the same scheme whose host has the same
    /// last two labels. As in Fulcio, a port or path behind them counts for nothing.
    ///
    /// # Errors
    /// `subject_domain` has another form, or belongs to somebody else.
    pub fn new(subject_domain: &str, issuer_url: &str) -> Result<Self, SubjectDomainError> {
        let url = parse(subject_domain).map_err(|_| SubjectDomainError::NotOrigin)?;
        let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
        let rest = subject_domain.strip_prefix(&format!("{scheme}://{host}"));
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':'])) {
            return Err(SubjectDomainError::NotOrigin);
        }
        if issuer_url.split_once("://").map(|(scheme, _)| scheme) != Some(scheme) {
            return Err(SubjectDomainError::OtherScheme);
        }
        if !same_site(host, &issuer_host(issuer_url)?) {
            return Err(SubjectDomainError::OtherDomain);
        }
        Ok(Self {
            subject_domain: subject_domain.to_owned(),
            scheme: scheme.to_owned(),
            host: host.to_owned(),
        })
    }

    pub(super) fn subject_domain(&self) -> &str {
        &self.subject_domain
    }

    pub(super) fn apply(&self, issuer: &str, subject: &str) -> Result<Names, IdentityError> {
        let uri = printed(subject).map_err(IdentityError::SubjectInvalid)?;
        let url = parse(&uri).map_err(IdentityError::SubjectInvalid)?;
        if !self.names(&url, &uri) {
            return Err(IdentityError::SubjectInvalid(
                "is a URI of another scheme or host than this issuer vouches for",
            ));
        }
        let name = SubjectName::Uri(uri);
        Ok(Names::new(name, ExtensionValues::new(issuer, subject)))
    }

    /// Compares the parsed parts and the bytes, so that a reader who parses differently sees the same host.
    fn names(&self, url: &Url, text: &str) -> bool {
        let rest = text
            .strip_prefix(self.scheme.as_str())
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|rest| rest.strip_prefix(self.host.as_str()));
        let host_ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?', '#', ':']);
        rest.is_some_and(host_ends)
            && url.scheme() == self.scheme
            && url.host_str() == Some(self.host.as_str())
    }
}

/// Checks that `text` is an absolute URI with an authority (RFC 3986), written so that no two readers can disagree
/// about its parts: only the characters of RFC 3986, no `.` or `..` segments. The text itself is what a certificate
/// carries; other characters have been percent-encoded before ([`printed`]).
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_VALUE_BYTES {
        return Err("is longer than 2048 bytes");
    }
    if !text.bytes().all(is_uri_byte) {
        return Err("contains a character that RFC 3986 does not allow");
    }
    if !is_percent_encoded(text) {
        return Err("contains a `%` that does not begin a percent-encoded byte");
    }
    if has_dot_segment(text) {
        return Err(DOT_SEGMENT);
    }
    let url = Url::parse(text).map_err(|_| "is not an absolute URI")?;
    let authority = authority(text, url.scheme()).ok_or("names no host")?;
    if !is_plain_authority(authority, &url) {
        return Err("has something else than a plain host name and port before its path");
    }
    Ok(url)
}

/// A host that every reader takes for the same one, and a port or none.
fn is_plain_authority(authority: &str, url: &Url) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let has_labels = |host: &str| host.starts_with('[') || host.split('.').all(|label| !label.is_empty());
    url.host_str() == Some(host)
        && has_labels(host)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What stands between scheme and path. The parser repairs `https:example.com` and `https:///example.com` as browsers do;
/// other readers do not.
fn authority<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (!authority.is_empty()).then_some(authority)
}

/// `unreserved`, `reserved` and `%` (RFC 3986 section 2).
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_uris_are_kept_as_they_are() {
        for text in [
            "https://github.com/octo-org/app/.github/workflows/release.yml@refs/tags/v1.0",
            "https://gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main",
            "https://example.com",
            "https://example.com:8443/a%20b?c=d#e",
            "spiffe://example.com/workload",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_readers_could_take_for_something_else_is_refused() {
        for text in [
            "",
            "octo-org/app",
            "/path",
            "mailto:a@example.com",
            "javascript:alert(1)",
            "https://",
            "https:///path",
            "https:example.com",
            "HTTPS://example.com",
            "https://exa mple.com/",
            "https://example.com/a b",
            "https://example.com/\t",
            "https://example.com/\u{e9}",
            "https://example.com/<nil>",
            "https://example.com\\@evil.example/",
            "https://user@example.com/",
            "https://http://example.com/",
            "https://example.com:/",
            "https://example.com./",
            "https://example..com/",
            "https://ex%61mple.com/",
            "https://Example.com/",
            "https://example.com/a/../b",
            "https://example.com/a/%2e%2E/b",
            "https://example.com/a/./b",
            "https://example.com/a%2f..%2fb",
            "https://example.com/a/..%5Cb",
            "https://example.com/%",
            "https://example.com/%2",
            "https://example.com/%zz",
            "https://example.com/{a}",
            " https://example.com/",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&format!("https://example.com/{}", "a".repeat(MAX_VALUE_BYTES))).is_err());
    }

    #[test]
    fn a_subject_domain_is_a_scheme_and_a_host_of_the_issuer() {
        let new = |domain| UriRule::new(domain, "https://accounts.example.com/tenant").map(|rule| rule.host);
        assert_eq!(new("https://example.com").as_deref(), Ok("example.com"));
        assert_eq!(
            new("https://users.example.com/").as_deref(),
            Ok("users.example.com")
        );
        assert_eq!(
            new("https://example.com:8443/users").as_deref(),
            Ok("example.com")
        );
        assert_eq!(
            new("http://example.com").as_deref(),
            Err(&SubjectDomainError::OtherScheme)
        );
        assert_eq!(
            new("https://example.org").as_deref(),
            Err(&SubjectDomainError::OtherDomain)
        );
        for domain in [
            "example.com",
            "https://Example.com",
            "https://user@example.com",
            "https://example.com?a",
            "https://",
        ] {
            assert_eq!(
                new(domain).as_deref(),
                Err(&SubjectDomainError::NotOrigin),
                "{domain}"
            );
        }
    }
}

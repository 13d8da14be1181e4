//! Which `iss` values an entry of the issuer file is for.

use std::fmt;

use regex::{RegexSet, RegexSetBuilder};
use url::{Host, Url};

use super::spelling::{Written, check_normal, issuer_url, normal_url};

/// What `*` stands for in a pattern: one part of a host name or path, as in Fulcio. It holds neither dots, slashes,
/// colons, `@`, `?`, `#` nor `%`, so a value that matches has the parts of its pattern and no others.
const WILDCARD: &str = "[-_a-zA-Z0-9]+";

/// The most memory for all patterns of a file together, in bytes.
const MAX_SET_BYTES: usize = 1 << 30;

/// A text that [`WILDCARD`] matches.
const EXAMPLE: &str = "x";

/// The labels at the end of a pattern's host name that must be spelt out: whoever owns that domain is trusted.
const FIXED_LABELS: usize = 2;

/// One `iss` value, or a pattern of them.
#[derive(Clone, Debug)]
pub enum IssuerName {
    /// Exactly this value, byte for byte (OpenID Connect Core 1.0 section 3.1.3.7).
    Exact(String),
    /// Every value that matches (`meta-issuers` in the file).
    Pattern(IssuerPattern),
}

impl IssuerName {
    /// An issuer's URL (OpenID Connect Discovery 1.0 section 3): https, without query or fragment.
    /// Plain http is for loopback hosts. Scheme and host may be spelt as the issuer spells them:
    /// see [`Self::normal_form`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn exact(url: &str) -> Result<Self, IssuerNameError> {
        if url.contains('*') {
            return Err(IssuerNameError::Wildcard);
        }
        let parsed = issuer_url(url)?;
        if !Written::of(url).is_some_and(|written| written.is_spelling_of(&parsed)) {
            check_normal(url, &parsed)?;
        }
        Ok(Self::Exact(url.to_owned()))
    }

    /// The normal form of a single issuer's URL that is not in it: with capitals in scheme or host,
    /// a default port, or an IPv6 address that is not spelt as RFC 5952 has it.
    #[must_use]
    pub fn normal_form(&self) -> Option<String> {
        let Self::Exact(url) = self else { return None };
        match check_normal(url, &Url::parse(url).ok()?) {
            Err(IssuerNameError::NotNormal(normal)) => Some(normal),
            _ => None,
        }
    }

    /// A URL with one or more `*`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pattern(text: &str) -> Result<Self, IssuerNameError> {
        IssuerPattern::parse(text).map(Self::Pattern)
    }

    /// The URL or pattern as the file has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(url) => url,
            Self::Pattern(pattern) => &pattern.text,
        }
    }

    /// The URL, or one that matches the pattern.
    #[must_use]
    pub fn example(&self) -> String {
        self.as_str().replace('*', EXAMPLE)
    }

    /// Whether the name is a pattern.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Pattern(_))
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A URL with `*` in it.
#[derive(Clone, Debug)]
pub struct IssuerPattern {
    text: String,
}

impl IssuerPattern {
    fn parse(text: &str) -> Result<Self, IssuerNameError> {
        let (_, rest) = text.split_once("://").ok_or(IssuerNameError::NotAUrl)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.split(':').next().unwrap_or_default();
        if authority.len() > host.len() && authority.trim_start_matches(host).contains('*') {
            return Err(IssuerNameError::WildcardInPort);
        }
        // What the pattern looks like with every `*` filled in must be an issuer's URL.
        let url = normal_url(&text.replace('*', EXAMPLE))?;
        let is_name = matches!(url.host(), Some(Host::Domain(_)));
        let fixed = host.rsplit('.').take(FIXED_LABELS);
        if host.contains('*')
            && (!is_name || fixed.clone().count() < FIXED_LABELS || fixed.clone().any(has_wildcard))
        {
            return Err(IssuerNameError::OpenDomain);
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The pattern as the file has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn has_wildcard(label: &str) -> bool {
    label.contains('*')
}

/// The pattern as a regular expression for the whole value (CVE-2026-22772: without anchors, a query of another host
/// matched).
fn anchored(pattern: &str) -> String {
    format!(r"\A{}\z", regex::escape(pattern).replace(r"\*", WILDCARD))
}

/// Many patterns, matched in one pass.
#[derive(Clone, Debug)]
pub(super) struct PatternSet(RegexSet);

impl PatternSet {
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a IssuerPattern>) -> Self {
        // They are simple, so that all of them could fail only by their size, which the file's limit keeps far below this;
        // then none of them would match.
        Self(
            RegexSetBuilder::new(patterns.map(|pattern| anchored(&pattern.text)))
                .size_limit(MAX_SET_BYTES)
                .build()
                .unwrap_or_else(|_| RegexSet::empty()),
        )
    }

    /// The place of the first pattern that `iss` matches.
    pub(super) fn first_match(&self, iss: &str) -> Option<usize> {
        let place = self.0.matches(iss).iter().next()?;
        normal_url(iss).is_ok().then_some(place)
    }
}

/// Why a text names no issuers. `Display` completes a sentence that begins with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerNameError {
    /// Not an absolute URL.
    #[error("is not a URL")]
    NotAUrl,
    /// Plain http to another machine, or another scheme.
    #[error("must begin with https://")]
    NotHttps,
    /// OpenID Connect Discovery 1.0 section 3 forbids both.
    #[error("must not have a query or fragment")]
    QueryOrFragment,
    /// Something before the host.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// Capital letters in the host, a default port, dots in the path and the like.
    #[error("is not in its normal form")]
    NotNormal(String),
    /// A pattern where a single issuer is meant.
    #[error("has a `*`, which stands for itself here")]
    Wildcard,
    /// A port is not a part of a name.
    #[error("has a `*` in its port")]
    WildcardInPort,
    /// Anybody can have a host name that matches.
    #[error("has a `*` in the last two labels of its host: anybody could set up an issuer that matches")]
    OpenDomain,
}

impl IssuerNameError {
    /// What to do about it.
    #[must_use]
    pub fn suggestion(&self) -> String {
        match self {
            Self::NotAUrl => "Use the token's `iss` value, such as https://accounts.google.com".to_owned(),
            Self::NotHttps => "Plain http is for issuers on this machine only".to_owned(),
            Self::QueryOrFragment => "Remove what follows the path".to_owned(),
            Self::UserInfo => "Remove what stands before the host".to_owned(),
            Self::NotNormal(normal) => {
                format!("Did you mean `{normal}`? It must be the `iss` of the tokens, letter for letter")
            }
            Self::Wildcard => "Move it to `meta-issuers`".to_owned(),
            Self::WildcardInPort => "Write the port out".to_owned(),
            Self::OpenDomain => "Write out the domain that the issuer's operator owns".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EKS: &str = "https://oidc.eks.*.amazonaws.com/id/*";

    fn matches(pattern: &str, iss: &str) -> bool {
        let pattern = IssuerPattern::parse(pattern).unwrap();
        let set = PatternSet::new(std::iter::once(&pattern));
        set.first_match(iss).is_some()
    }

    #[test]
    fn a_pattern_matches_one_part_for_each_star() {
        for (pattern, iss) in [
            (
                EKS,
                "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB",
            ),
            (
                "https://*.oic.prod-aks.azure.com/*/*/",
                "https://eastus.oic.prod-aks.azure.com/0a-b/c_d/",
            ),
            (
                "https://token.actions.githubusercontent.com/*",
                "https://token.actions.githubusercontent.com/octo-org",
            ),
            ("https://idp.example:8443/*", "https://idp.example:8443/a"),
            (
                "https://a-*-b.example.com/x-*",
                "https://a-1-b-2-b.example.com/x-x-x",
            ),
        ] {
            assert!(matches(pattern, iss), "{pattern} {iss}");
        }
    }

    #[test]
    fn nothing_else_matches() {
        for iss in [
            "",
            EKS,
            "https://oidc.eks..amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A/",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A/B",
            "https://oidc.eks.a.b.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A\n",
            "\nhttps://oidc.eks.us-west-2.amazonaws.com/id/A",
            "http://oidc.eks.us-west-2.amazonaws.com/id/A",
            "HTTPS://oidc.eks.us-west-2.amazonaws.com/id/A",
            "https://OIDC.eks.us-west-2.amazonaws.com/id/A",
            "https://oidc.eks.US-WEST-2.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com:443/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com:8443/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com./id/A",
            "https://good@oidc.eks.us-west-2.amazonaws.com/id/A",
            "https://evil.example/https://oidc.eks.us-west-2.amazonaws.com/id/A",
            "http://localhost:3000?https://oidc.eks.us-west-2.amazonaws.com/id/A",
            "https://localhost?https://oidc.eks.us-west-2.amazonaws.com/id/A",
            "https://localhost#https://oidc.eks.us-west-2.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A?x",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A#x",
            "https://oidc.eks.us-west-2.amazonaws.com/id/%41",
            "https://oidc.eks.us-west-2%2f.amazonaws.com/id/A",
            "https://oidc.eks.evil.example%2f.amazonaws.com/id/A",
            "https://oidc.eks.evil.example/.amazonaws.com/id/A",
            "https://oidc.eks.evil.example\\.amazonaws.com/id/A",
            "https://oidc.eks.us\u{2024}west.amazonaws.com/id/A",
            "https://oidc.eks.\u{ff55}s-west-2.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/\u{410}",
            "https://oidc.eks.us-west-2.amazonaws.com.evil.example/id/A",
            "https://oidcXeks.us-west-2.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A\0",
            "https://oidc.eks.us-west-2.amazonaws.com/id/\tA",
        ] {
            assert!(!matches(EKS, iss), "{iss:?}");
        }
    }

    #[test]
    fn as_many_patterns_as_a_file_can_hold_still_match() {
        let pattern = |number: usize| {
            let text = format!("https://a-long-name-of-a-tenant-{number}.example.com/a/long/path/*");
            IssuerPattern::parse(&text).unwrap()
        };
        let patterns: Vec<_> = (0..12_000).map(pattern).collect();
        let set = PatternSet::new(patterns.iter());
        let last = "https://a-long-name-of-a-tenant-11999.example.com/a/long/path/x";
        assert_eq!(set.first_match(last), Some(11_999));
    }

    #[test]
    fn patterns_that_trust_anybody_are_refused() {
        for (pattern, error) in [
            ("https://*", IssuerNameError::OpenDomain),
            ("https://*/*", IssuerNameError::OpenDomain),
            ("https://*.com/*", IssuerNameError::OpenDomain),
            ("https://idp.*.com/x", IssuerNameError::OpenDomain),
            ("https://idp.ex*mple.com/", IssuerNameError::OpenDomain),
            ("https://idp.example.*/x", IssuerNameError::OpenDomain),
            ("https://10.0.0.*/x", IssuerNameError::OpenDomain),
            ("https://idp.example.com:*/x", IssuerNameError::WildcardInPort),
            ("https://*@idp.example.com/x", IssuerNameError::UserInfo),
            ("https://idp.example.com/x?*", IssuerNameError::QueryOrFragment),
            ("https://idp.example.com/x#*", IssuerNameError::QueryOrFragment),
            ("http://*.example.com/x", IssuerNameError::NotHttps),
            ("*://idp.example.com/x", IssuerNameError::NotHttps),
            ("*", IssuerNameError::NotAUrl),
            (
                "https://*.com./x",
                IssuerNameError::NotNormal("https://x.com/x".to_owned()),
            ),
        ] {
            assert_eq!(IssuerPattern::parse(pattern).unwrap_err(), error, "{pattern}");
        }
    }
}

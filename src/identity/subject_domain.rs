//! `subject-domain`: for whose names an issuer may vouch.

use url::{Host, Url};

/// The labels of two host names that must agree: those of a registered domain under a plain top-level domain.
const COMMON_LABELS: usize = 2;

/// Why a `subject-domain` cannot be used with an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectDomainError {
    /// `type: uri` needs a scheme.
    #[error("must be a scheme and a host in lower case, such as https://example.com")]
    NotOrigin,
    /// `type: username` has none.
    #[error("must not have a scheme: write the host name alone, such as example.com")]
    SchemeNotAllowed,
    /// Not a DNS name.
    #[error("is not a host name such as example.com")]
    NotHostName,
    /// The issuer and the names must use the same scheme.
    #[error("must have the same scheme as issuer-url")]
    OtherScheme,
    /// The issuer would vouch for names of somebody else's domain.
    #[error(
        "must have the same last two labels as the host of issuer-url, so that an issuer vouches for its own domain only"
    )]
    OtherDomain,
    /// The issuer's URL has no host.
    #[error("cannot be checked, because issuer-url names no host")]
    IssuerWithoutHost,
}

/// The host of an issuer's URL.
pub(super) fn issuer_host(issuer_url: &str) -> Result<String, SubjectDomainError> {
    Url::parse(issuer_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .ok_or(SubjectDomainError::IssuerWithoutHost)
}

/// Whether two hosts are the same or have the same last two labels, as Fulcio requires. It does not know of public
/// suffixes such as `co.uk`: the operator still has to check that both names have one owner.
pub(super) fn same_site(subject_host: &str, issuer_host: &str) -> bool {
    if subject_host == issuer_host {
        return true;
    }
    let is_name = |host: &str| matches!(Host::parse(host), Ok(Host::Domain(_)));
    let tail =
        |host: &str| -> Vec<String> { host.rsplit('.').take(COMMON_LABELS).map(str::to_owned).collect() };
    let (subject, issuer) = (tail(subject_host), tail(issuer_host));
    is_name(subject_host) && is_name(issuer_host) && subject.len() == COMMON_LABELS && subject == issuer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_vouches_for_its_own_domain() {
        for (subject, issuer) in [
            ("example.com", "example.com"),
            ("example.com", "accounts.example.com"),
            ("users.example.com", "accounts.example.com"),
            ("localhost", "localhost"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert!(same_site(subject, issuer), "{subject} {issuer}");
        }
    }

    #[test]
    fn an_issuer_does_not_vouch_for_others() {
        for (subject, issuer) in [
            ("example.org", "accounts.example.com"),
            ("notexample.com", "example.com"),
            ("com", "example.com"),
            ("localhost", "example.com"),
            ("10.1.0.1", "10.0.0.1"),
        ] {
            assert!(!same_site(subject, issuer), "{subject} {issuer}");
        }
    }
}

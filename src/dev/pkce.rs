//! Proof Key for Code Exchange (RFC 7636), method S256 only.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The only `code_challenge_method`: `plain` protects nothing that a local attacker cannot see.
pub(super) const METHOD: &str = "S256";

/// RFC 7636 section 4.1: 43 to 128 unreserved characters.
const VERIFIER_CHARACTERS: std::ops::RangeInclusive<usize> = 43..=128;

/// The SHA-256 of a verifier that only the client knows.
#[derive(Clone, Debug)]
pub(super) struct Challenge([u8; SHA256_OUTPUT_LEN]);

impl Challenge {
    /// From `code_challenge` and `code_challenge_method`; `None` unless it is a well-formed S256 challenge.
    pub(super) fn parse(challenge: &str, method: Option<&str>) -> Option<Self> {
        if method != Some(METHOD) {
            return None;
        }
        let hash = URL_SAFE_NO_PAD.decode(challenge).ok()?;
        hash.try_into().ok().map(Self)
    }

    /// Whether `verifier` is the one that the challenge was made from.
    pub(super) fn is_met_by(&self, verifier: &str) -> bool {
        let unreserved = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
        VERIFIER_CHARACTERS.contains(&verifier.len())
            && verifier.chars().all(unreserved)
            && verify_slices_are_equal(digest(&SHA256, verifier.as_bytes()).as_ref(), &self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn rfc_vector() {
        let challenge = Challenge::parse(CHALLENGE, Some("S256")).unwrap();
        assert!(challenge.is_met_by(VERIFIER));
        assert!(!challenge.is_met_by(&VERIFIER.replace('d', "e")));
        assert!(!challenge.is_met_by(""));
    }

    #[test]
    fn only_well_formed_s256() {
        for (challenge, method) in [
            (CHALLENGE, None),
            (CHALLENGE, Some("plain")),
            (CHALLENGE, Some("s256")),
            ("", Some("S256")),
            ("E9Melhoa", Some("S256")),
            ("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM", Some("S256")),
        ] {
            assert!(
                Challenge::parse(challenge, method).is_none(),
                "{challenge} {method:?}"
            );
        }
    }
}

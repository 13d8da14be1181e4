//! Who is trusted to say who somebody is: the checked form of one issuer file.

use std::sync::Arc;

use crate::identity::Rule;

/// The claim whose value the applicant signs to prove possession of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeClaim {
    /// `sub`
    Subject,
    /// `email`
    Email,
}

impl ChallengeClaim {
    /// The name of the claim.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "sub",
            Self::Email => "email",
        }
    }
}

/// One entry of the issuer file, checked and compiled.
#[derive(Debug)]
pub struct TrustedIssuer {
    url: String,
    audience: String,
    challenge: ChallengeClaim,
    rule: Rule,
}

impl TrustedIssuer {
    /// An entry: tokens that `url` signs for `audience` are turned into identities by `rule`.
    #[must_use]
    pub fn new(url: String, audience: String, challenge: ChallengeClaim, rule: Rule) -> Self {
        Self {
            url,
            audience,
            challenge,
            rule,
        }
    }

    /// The `iss` value it signs, compared byte for byte (OpenID Connect Core 2).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The `aud` value that its tokens must carry (`client-id` in the file).
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The claim that clients are told to sign.
    #[must_use]
    pub fn challenge(&self) -> ChallengeClaim {
        self.challenge
    }

    /// How its claims become an identity.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The `type` in the issuer file, such as `email`.
    #[must_use]
    pub fn issuer_type(&self) -> &str {
        self.rule.issuer_type()
    }

    /// The domain of the names for which it vouches, for the types that have one.
    #[must_use]
    pub fn subject_domain(&self) -> Option<&str> {
        self.rule.subject_domain()
    }
}

/// Every trusted issuer. `(iss, aud)` chooses the entry.
#[derive(Debug)]
pub struct TrustedIssuers(Vec<Arc<TrustedIssuer>>);

impl TrustedIssuers {
    /// Takes entries that differ in `(iss, aud)`; of two that do not, the first counts.
    #[must_use]
    pub fn new(issuers: Vec<TrustedIssuer>) -> Self {
        Self(issuers.into_iter().map(Arc::new).collect())
    }

    /// The entries whose `issuer-url` equals `iss` byte for byte; several may differ in audience.
    pub fn named<'a>(&'a self, iss: &'a str) -> impl Iterator<Item = &'a Arc<TrustedIssuer>> {
        self.0.iter().filter(move |issuer| issuer.url == iss)
    }

    /// All entries, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustedIssuer>> {
        self.0.iter()
    }
}

//! One entry of `oidc-issuers` or `meta-issuers`: an issuer, for one audience or for several.

use std::sync::Arc;

use serde_json::json;
use x509_cert::Certificate;

use super::{CiProviders, admission, openness, rule};
use crate::{
    config::{
        fields::{Fields, Keys, Text},
        problem::{Place, Problems},
        yaml::{Entry, Node},
    },
    token::FetchPolicy,
    trusted_issuer::{ChallengeClaim, IssuerName, TrustedIssuer},
};

/// What an entry may say.
pub(super) const KEYS: Keys = &[
    "issuer-url",
    "client-id",
    "audiences",
    "ca-cert",
    "type",
    "ci-provider",
    "issuer-claim",
    "subject-domain",
    "spiffe-trust-domain",
    "challenge-claim",
    "skip-email-verification",
    "allow",
    "rate-limit",
    "single-use",
    "key-binding",
    "description",
    "contact",
    "environment",
];

/// Those that Fulcio knows and an entry need not have: empty, they are left out. An empty `allow`
/// is a mistake.
const MAY_BE_EMPTY: Keys = &[
    "issuer-url",
    "ca-cert",
    "ci-provider",
    "issuer-claim",
    "subject-domain",
    "spiffe-trust-domain",
    "challenge-claim",
    "skip-email-verification",
    "description",
    "contact",
    "environment",
];

/// What may differ from audience to audience. In the entry it holds for all that do not say otherwise.
const AUDIENCE_KEYS: Keys = KEYS.split_at(4).1;

/// Compiles entries; what cannot be used is reported.
pub(super) struct Entries<'a> {
    pub(super) providers: &'a CiProviders,
    pub(super) policy: &'a FetchPolicy,
    pub(super) problems: &'a mut Problems,
}

/// What stands for the issuer: the same in every audience.
struct Issuer<'a> {
    name: &'a IssuerName,
    ca_certificates: Option<Arc<str>>,
    /// Of the whole entry.
    definition: serde_json::Value,
}

impl Entries<'_> {
    /// One entry, for one audience or for several. Without a `name`, which has been reported, the rest is checked all the
    /// same.
    pub(super) fn compile(
        &mut self,
        place: Place,
        name: Option<&IssuerName>,
        entry: &Entry,
    ) -> Vec<TrustedIssuer> {
        if let Some(IssuerName::Exact(url)) = name
            && let Err(error) = self.policy.check_configured(url)
        {
            self.problems
                .report(&place, error.to_string(), error.suggestion());
        }
        let keys = (KEYS, MAY_BE_EMPTY);
        let Some(fields) = Fields::open_with_empty(place, entry.node(), keys, self.problems) else {
            return Vec::new();
        };
        check_issuer_url(entry.key(), &fields, self.problems);
        let placeholder = IssuerName::Exact(entry.key().to_owned());
        let issuer = Issuer {
            name: name.unwrap_or(&placeholder),
            ca_certificates: ca_certificates(&fields, self.problems),
            definition: entry.node().canonical(),
        };
        let compiled = match fields.get("audiences") {
            Some((place, node)) => self.audiences(&issuer, (&place, node), &fields),
            None => self.only_audience(&issuer, &fields).into_iter().collect(),
        };
        if name.is_some() { compiled } else { Vec::new() }
    }

    fn audiences(
        &mut self,
        issuer: &Issuer<'_>,
        (place, node): (&Place, &Node),
        entry: &Fields<'_>,
    ) -> Vec<TrustedIssuer> {
        if let Some((place, _)) = entry.get("client-id") {
            self.problems
                .report(&place, "stands beside `audiences`", "Move it into `audiences`");
        }
        let audiences = node.entries(place, self.problems).unwrap_or_default();
        if audiences.is_empty() {
            let suggestion = "Name one, as a key with its rules below it";
            self.problems.report(place, "names no audience", suggestion);
        }
        let mut compiled = Vec::new();
        for audience in audiences {
            let place = audience.place(place);
            let keys = (AUDIENCE_KEYS, MAY_BE_EMPTY);
            if let Some(own) = Fields::open_with_empty(place, audience.node(), keys, self.problems) {
                compiled.extend(self.audience(issuer, audience.key(), &own.with_defaults(entry)));
            }
        }
        compiled
    }

    /// Without a `client-id`, the rest of the entry is checked all the same.
    fn only_audience(&mut self, issuer: &Issuer<'_>, fields: &Fields<'_>) -> Option<TrustedIssuer> {
        let suggestion = "Set it to the audience that tokens are requested for, such as `mayfly.example.com`";
        let audience = match fields.get("client-id") {
            Some((place, node)) if node.is_list() => {
                let suggestion = "For several, use `audiences`, with each as a key";
                self.problems
                    .report(&place, "must be a single audience", suggestion);
                None
            }
            _ => fields.required_text("client-id", suggestion, self.problems),
        };
        let text = audience.as_ref().map_or("", |text| text.value);
        self.audience(issuer, text, fields).filter(|_| audience.is_some())
    }

    fn audience(
        &mut self,
        issuer: &Issuer<'_>,
        audience: &str,
        fields: &Fields<'_>,
    ) -> Option<TrustedIssuer> {
        let problems = &mut *self.problems;
        let challenge = challenge(fields, problems);
        let admission = admission::compile(fields, problems);
        let rule = rule::compile(issuer.name, fields, self.providers, problems)?;
        let provider = fields.text("ci-provider", problems);
        let provider = provider
            .and_then(|text| self.providers.get(text.value))
            .map(|provider| &provider.definition);
        let challenge = challenge.unwrap_or_else(|| rule.default_challenge());
        let trusted = TrustedIssuer::new(issuer.name.clone(), audience.to_owned(), challenge, rule)
            .with_admission(admission)
            .with_ca_certificates(issuer.ca_certificates.clone())
            .with_definition(json!([audience, issuer.definition, provider]).to_string());
        openness::warn(&trusted, fields.place(), problems);
        Some(trusted)
    }
}

/// `issuer-url` may only repeat the entry's key. Fulcio looks entries up by their key.
fn check_issuer_url(key: &str, fields: &Fields<'_>, problems: &mut Problems) {
    if let Some(text) = fields.text("issuer-url", problems)
        && text.value != key
    {
        let what = format!("differs from the key of its entry, `{key}`");
        problems.report(&text.place, what, "Write the same URL in both places");
    }
}

fn ca_certificates(fields: &Fields<'_>, problems: &mut Problems) -> Option<Arc<str>> {
    let text = fields.text("ca-cert", problems)?;
    match Certificate::load_pem_chain(text.value.as_bytes()) {
        Ok(certificates) if !certificates.is_empty() => Some(text.value.into()),
        _ => {
            let suggestion =
                "Put the certificate's text here, from -----BEGIN CERTIFICATE----- on, after `ca-cert: |`";
            problems.report(&text.place, "is not one or more certificates in PEM", suggestion);
            None
        }
    }
}

fn challenge(fields: &Fields<'_>, problems: &mut Problems) -> Option<ChallengeClaim> {
    let text: Text<'_> = fields.text("challenge-claim", problems)?;
    match text.value {
        "email" => Some(ChallengeClaim::Email),
        "sub" => Some(ChallengeClaim::Subject),
        _ => {
            problems.report(&text.place, "must be `email` or `sub`", "");
            None
        }
    }
}

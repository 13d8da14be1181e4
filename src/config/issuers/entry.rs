//! One entry of `oidc-issuers` or `meta-issuers`: an issuer, for one audience or for several.

use std::sync::Arc;

use serde_json::json;
use x509_cert::Certificate;

use super::{CiProviders, admission, openness, rule};
use crate::{
    config::{
        fields::{Fields, Keys, Text},
        problem::{Place, Problems},
        yaml::Entry,
    },
    trusted_issuer::{ChallengeClaim, IssuerName, TrustedIssuer},
};

/// What an entry may say of the issuer itself, beside what holds for an audience.
const ISSUER_KEYS: [&str; 4] = ["issuer-url", "client-id", "audiences", "ca-cert"];

/// What may differ from audience to audience; in the entry it holds for all that do not say otherwise.
const AUDIENCE_KEYS: Keys = &[
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

/// What stands for the issuer: the same in every audience.
struct Issuer<'a> {
    name: &'a IssuerName,
    ca_certificates: Option<Arc<str>>,
    /// Of the whole entry.
    definition: serde_json::Value,
}

/// Compiles one entry; nothing if a part of it cannot be used, which is then reported. Without a `name`, which has been
/// reported too, the rest is checked all the same.
pub(super) fn compile(
    place: Place,
    name: Option<&IssuerName>,
    entry: &Entry,
    providers: &CiProviders,
    problems: &mut Problems,
) -> Vec<TrustedIssuer> {
    static KEYS: std::sync::LazyLock<Vec<&str>> =
        std::sync::LazyLock::new(|| ISSUER_KEYS.iter().chain(AUDIENCE_KEYS).copied().collect());
    let Some(fields) = Fields::open(place, entry.node(), &KEYS, problems) else {
        return Vec::new();
    };
    check_issuer_url(entry.key(), &fields, problems);
    let ca_certificates = ca_certificates(&fields, problems);
    let placeholder = IssuerName::Exact(entry.key().to_owned());
    let issuer = Issuer {
        name: name.unwrap_or(&placeholder),
        ca_certificates,
        definition: entry.node().canonical(),
    };
    let compiled: Vec<_> = match fields.get("audiences") {
        Some((place, node)) => {
            if let Some((place, _)) = fields.get("client-id") {
                problems.report(&place, "stands beside `audiences`", "Move it into `audiences`");
            }
            let entries = node.entries(&place, problems).unwrap_or_default();
            if entries.is_empty() {
                problems.report(
                    &place,
                    "names no audience",
                    "Name one, as a key with its rules below it",
                );
            }
            let audiences = entries.iter().filter_map(|audience| {
                let place = audience.place(&place);
                let own =
                    Fields::open(place, audience.node(), AUDIENCE_KEYS, problems)?.with_defaults(&fields);
                issuer.for_audience(audience.key(), &own, providers, problems)
            });
            audiences.collect()
        }
        None => {
            let suggestion = "Set it to the audience that tokens are requested for, such as `sigstore`";
            let audience = fields.required_text("client-id", suggestion, problems);
            // Without an audience, the rest of the entry is checked all the same.
            let compiled = issuer.for_audience(
                audience.as_ref().map_or("", |text| text.value),
                &fields,
                providers,
                problems,
            );
            compiled.filter(|_| audience.is_some()).into_iter().collect()
        }
    };
    if name.is_some() { compiled } else { Vec::new() }
}

impl Issuer<'_> {
    fn for_audience(
        &self,
        audience: &str,
        fields: &Fields<'_>,
        providers: &CiProviders,
        problems: &mut Problems,
    ) -> Option<TrustedIssuer> {
        let challenge = challenge(fields, problems);
        let admission = admission::compile(fields, problems);
        let rule = rule::compile(self.name, fields, providers, problems)?;
        let provider = fields.text("ci-provider", problems);
        let provider = provider
            .and_then(|text| providers.get(text.value))
            .map(|provider| &provider.definition);
        let challenge = challenge.unwrap_or_else(|| rule.default_challenge());
        let issuer = TrustedIssuer::new(self.name.clone(), audience.to_owned(), challenge, rule)
            .with_admission(admission)
            .with_ca_certificates(self.ca_certificates.clone())
            .with_definition(json!([audience, self.definition, provider]).to_string());
        openness::warn(&issuer, fields.place(), problems);
        Some(issuer)
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

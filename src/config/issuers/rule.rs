//! `type`, and the keys that belong to one type or another: how claims become an identity.

use super::CiProviders;
use crate::{
    config::{
        fields::{Fields, Text},
        problem::{Problems, did_you_mean},
    },
    identity::{
        CiProvider, ClaimPath, EmailRule, LEGACY_TYPES, Rule, SpiffeRule, SubjectDomainError, UriRule,
        UsernameRule, Verification,
    },
    trusted_issuer::IssuerName,
};

/// The types that are not for one provider alone, and the keys that each has for itself.
const TYPES: [(&str, &[&str]); 7] = [
    ("email", &["issuer-claim", "skip-email-verification"]),
    ("ci-provider", &["ci-provider"]),
    ("kubernetes", &[]),
    ("spiffe", &["spiffe-trust-domain"]),
    ("uri", &["subject-domain"]),
    ("username", &["subject-domain"]),
    ("chainguard-identity", &[]),
];

/// Compiles the rule of one entry; nothing if it cannot be used, which is then reported.
pub(super) fn compile(
    name: &IssuerName,
    fields: &Fields<'_>,
    providers: &CiProviders,
    problems: &mut Problems,
) -> Option<Rule> {
    let known = || TYPES.iter().map(|(name, _)| *name).chain(LEGACY_TYPES);
    let suggestion = format!("Set it to one of: {}", known().collect::<Vec<_>>().join(", "));
    let text = fields.required_text("type", &suggestion, problems)?;
    let Some(issuer_type) = known().find(|known| *known == text.value) else {
        let suggestion = did_you_mean(text.value, &known().collect::<Vec<_>>());
        problems.report(
            &text.place,
            format!("`{}` is not a type of issuer", text.value),
            suggestion,
        );
        return None;
    };
    mention_keys_of_other_types(issuer_type, fields, problems);
    match issuer_type {
        "email" => email(fields, problems),
        "uri" => subject_domain(fields, problems, |domain| {
            UriRule::new(domain, &name.example()).map(Rule::Uri)
        }),
        "username" => subject_domain(fields, problems, |domain| {
            UsernameRule::new(domain, &name.example()).map(Rule::Username)
        }),
        "spiffe" => spiffe(name, fields, &text, problems),
        "kubernetes" => Some(Rule::Kubernetes),
        "chainguard-identity" => Some(Rule::Chainguard),
        "ci-provider" => ci_provider(fields, providers, problems),
        legacy => CiProvider::legacy(legacy).map(Rule::CiProvider),
    }
}

/// Fulcio ignores keys of other types, but for `issuer-claim`.
fn mention_keys_of_other_types(issuer_type: &str, fields: &Fields<'_>, problems: &mut Problems) {
    let own = TYPES
        .iter()
        .find(|(name, _)| *name == issuer_type)
        .map_or(&[][..], |(_, keys)| keys);
    let mut seen = Vec::new();
    for key in TYPES.iter().flat_map(|(_, keys)| *keys) {
        if own.contains(key) || seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let Some((place, _)) = fields.get_own(key) else {
            continue;
        };
        let types: Vec<_> = TYPES
            .iter()
            .filter(|(_, keys)| keys.contains(key))
            .map(|(name, _)| *name)
            .collect();
        let what = format!(
            "has no meaning for type `{issuer_type}`, only for {}",
            types.join(" and ")
        );
        if *key == "issuer-claim" {
            problems.report(&place, what, "Remove it");
        } else {
            problems.warn(&place, what, "Remove it");
        }
    }
}

fn email(fields: &Fields<'_>, problems: &mut Problems) -> Option<Rule> {
    let verification = match fields.flag("skip-email-verification", problems) {
        true => {
            warn_of_any_address(fields, problems);
            Verification::Skipped
        }
        false => Verification::Required,
    };
    let path = fields
        .text("issuer-claim", problems)
        .map(|text| claim_path(&text, problems));
    // `None` here is an unusable path, which has been reported.
    let path = path.map_or(Some(None), |path| path.map(Some))?;
    Some(Rule::Email(EmailRule::new(verification, path)))
}

fn warn_of_any_address(fields: &Fields<'_>, problems: &mut Problems) {
    if let (Some((place, _)), None) = (fields.get("skip-email-verification"), fields.get("allow")) {
        let what = "takes every address that the issuer names, and there is no `allow`";
        let suggestion = "Hold tokens to your tenant and your domain, as config/entra.yaml does";
        problems.warn(&place, what, suggestion);
    }
}

fn claim_path(text: &Text<'_>, problems: &mut Problems) -> Option<ClaimPath> {
    let path = ClaimPath::parse(text.value);
    if path.is_none() {
        let what = "is not a JSON path to one place: only names are supported, as in $.a.b or $['a']";
        problems.report(&text.place, what, "Write it as $.federated_claims.connector_id");
    }
    path
}

fn subject_domain(
    fields: &Fields<'_>,
    problems: &mut Problems,
    rule: impl FnOnce(&str) -> Result<Rule, SubjectDomainError>,
) -> Option<Rule> {
    let suggestion = "Set it to the domain whose names this issuer gives out";
    let text = fields.required_text("subject-domain", suggestion, problems)?;
    let domain = text
        .value
        .split_once("://")
        .map_or(text.value, |(_, domain)| domain);
    if domain.trim_end_matches('/').contains(['/', ':']) {
        problems.warn(
            &text.place,
            "has a port or path, which count for nothing",
            "Remove them",
        );
    }
    rule(text.value)
        .map_err(|error| problems.report(&text.place, error.to_string(), ""))
        .ok()
}

/// One trust domain has one issuer, as in Fulcio.
fn spiffe(
    name: &IssuerName,
    fields: &Fields<'_>,
    issuer_type: &Text<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    if name.is_pattern() {
        let what = "`spiffe` cannot be the type of a pattern: a trust domain has one issuer";
        problems.report(&issuer_type.place, what, "Name each issuer under `oidc-issuers`");
    }
    let suggestion =
        "Set it to the trust domain whose workloads this issuer vouches for, such as example.org";
    let text = fields.required_text("spiffe-trust-domain", suggestion, problems)?;
    SpiffeRule::new(text.value)
        .map(Rule::Spiffe)
        .map_err(|error| problems.report(&text.place, error.to_string(), ""))
        .ok()
}

fn ci_provider(fields: &Fields<'_>, providers: &CiProviders, problems: &mut Problems) -> Option<Rule> {
    let suggestion = "Name an entry of `ci-issuer-metadata`";
    let text = fields.required_text("ci-provider", suggestion, problems)?;
    let Some(provider) = providers.get(text.value) else {
        let known: Vec<_> = providers.keys().map(String::as_str).collect();
        let what = format!("`{}` is not an entry of `ci-issuer-metadata`", text.value);
        let suggestion = match known.as_slice() {
            [] => "Add that entry: config/public-good.yaml has some to copy".to_owned(),
            known => did_you_mean(text.value, known),
        };
        problems.report(&text.place, what, suggestion);
        return None;
    };
    provider.compiled.clone().map(Rule::CiProvider)
}

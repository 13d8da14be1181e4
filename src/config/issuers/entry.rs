//! One entry of `oidc-issuers`.

use url::{Host, Url};

use super::CiProviders;
use crate::{
    config::{
        fields::{Fields, Keys, Text},
        problem::{Place, Problems, did_you_mean},
        yaml::Entry,
    },
    identity::{ClaimPath, EmailRule, Rule, SubjectDomainError, UriRule, UsernameRule, Verification},
    trusted_issuer::{ChallengeClaim, TrustedIssuer},
};

const KEYS: Keys = Keys {
    known: &[
        "issuer-url",
        "client-id",
        "type",
        "ci-provider",
        "issuer-claim",
        "subject-domain",
        "challenge-claim",
        "skip-email-verification",
        "description",
        "contact",
        "environment",
    ],
    unsupported: &["spiffe-trust-domain", "ca-cert"],
};

/// Keys that mean something for some types only, and for which.
const TYPED_KEYS: [(&str, &[&str]); 4] = [
    ("ci-provider", &["ci-provider"]),
    ("issuer-claim", &["email"]),
    ("subject-domain", &["uri", "username"]),
    ("skip-email-verification", &["email"]),
];

const TYPES: [&str; 4] = ["email", "uri", "username", "ci-provider"];

/// Types of Fulcio's that are not there yet.
const UNSUPPORTED_TYPES: [&str; 7] = [
    "spiffe",
    "kubernetes",
    "github-workflow",
    "gitlab-pipeline",
    "buildkite-job",
    "codefresh-workflow",
    "chainguard-identity",
];

/// Compiles one entry; nothing if a part of it cannot be used, which is then reported.
pub(super) fn compile(
    place: &Place,
    entry: &Entry,
    providers: &CiProviders,
    problems: &mut Problems,
) -> Option<TrustedIssuer> {
    let fields = Fields::open(place.clone(), entry.node(), KEYS, problems)?;
    let url = issuer_url(entry.key(), &fields, problems);
    let suggestion = "Set it to the audience that tokens are requested for, such as `sigstore`";
    let audience = fields.required_text("client-id", suggestion, problems);
    let challenge = challenge(&fields, problems);
    let rule = rule(entry.key(), &fields, providers, problems);
    let (url, audience, rule) = (url?, audience?, rule?);
    let challenge = challenge.unwrap_or_else(|| rule.default_challenge());
    Some(TrustedIssuer::new(
        url,
        audience.value.to_owned(),
        challenge,
        rule,
    ))
}

/// The issuer's URL: the entry's key, which `issuer-url` may only repeat. Fulcio looks entries up by their key.
fn issuer_url(key: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    if let Some(text) = fields.text("issuer-url", problems)
        && text.value != key
    {
        let what = format!("differs from the key of its entry, `{key}`");
        problems.report(&text.place, what, "Write the same URL in both places");
        return None;
    }
    match url_problem(key) {
        None => Some(key.to_owned()),
        Some((what, suggestion)) => {
            problems.report(fields.place(), what, suggestion);
            None
        }
    }
}

/// What is wrong with an issuer URL (OpenID Connect Discovery 1.0 section 3: https, no query, no fragment).
fn url_problem(text: &str) -> Option<(String, String)> {
    let problem = |what: &str, suggestion: &str| Some((what.to_owned(), suggestion.to_owned()));
    let Ok(url) = Url::parse(text) else {
        return problem(
            "is not a URL",
            "Use the token's `iss` value, such as https://accounts.google.com",
        );
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return problem(
            "must begin with https://",
            "Plain http is for issuers on this machine only",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return problem(
            "must not have a query or fragment",
            "Remove what follows the path",
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return problem(
            "must not hold a user name or password",
            "Remove what stands before the host",
        );
    }
    let normal = url.as_str();
    if text != normal && normal.strip_suffix('/') != Some(text) {
        return problem("is not in its normal form", &format!("Did you mean {normal}?"));
    }
    None
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn challenge(fields: &Fields<'_>, problems: &mut Problems) -> Option<ChallengeClaim> {
    let text = fields.text("challenge-claim", problems)?;
    match text.value {
        "email" => Some(ChallengeClaim::Email),
        "sub" => Some(ChallengeClaim::Subject),
        _ => {
            problems.report(&text.place, "must be `email` or `sub`", "");
            None
        }
    }
}

fn rule(url: &str, fields: &Fields<'_>, providers: &CiProviders, problems: &mut Problems) -> Option<Rule> {
    let issuer_type = issuer_type(fields, problems)?;
    report_keys_of_other_types(issuer_type, fields, problems);
    match issuer_type {
        "email" => email(fields, problems),
        "uri" => subject_domain(fields, problems, |domain| {
            UriRule::new(domain, url).map(Rule::Uri)
        }),
        "username" => subject_domain(fields, problems, |domain| {
            UsernameRule::new(domain, url).map(Rule::Username)
        }),
        _ => ci_provider(fields, providers, problems),
    }
}

fn issuer_type(fields: &Fields<'_>, problems: &mut Problems) -> Option<&'static str> {
    let suggestion = format!("Set it to one of: {}", TYPES.join(", "));
    let text = fields.required_text("type", &suggestion, problems)?;
    let supported = TYPES.iter().find(|known| **known == text.value);
    if supported.is_none() {
        let (what, suggestion) = if UNSUPPORTED_TYPES.contains(&text.value) {
            let what = "is valid for Fulcio but not supported by this release of Mayfly";
            (what, format!("Supported: {}", TYPES.join(", ")))
        } else {
            ("is not a type of issuer", did_you_mean(text.value, &TYPES))
        };
        problems.report(&text.place, format!("`{}` {what}", text.value), suggestion);
    }
    supported.copied()
}

fn report_keys_of_other_types(issuer_type: &str, fields: &Fields<'_>, problems: &mut Problems) {
    for (key, types) in TYPED_KEYS {
        if let Some((place, _)) = fields.get(key)
            && !types.contains(&issuer_type)
        {
            let what = format!(
                "has no meaning for type `{issuer_type}`, only for {}",
                types.join(" and ")
            );
            problems.report(&place, what, "Remove it");
        }
    }
}

fn email(fields: &Fields<'_>, problems: &mut Problems) -> Option<Rule> {
    let verification = verification(fields, problems);
    let path = fields
        .text("issuer-claim", problems)
        .map(|text| claim_path(&text, problems));
    // `None` here is an unusable path, which has been reported.
    let path = path.map_or(Some(None), |path| path.map(Some))?;
    Some(Rule::Email(EmailRule::new(verification, path)))
}

fn verification(fields: &Fields<'_>, problems: &mut Problems) -> Verification {
    let Some(text) = fields.text("skip-email-verification", problems) else {
        return Verification::Required;
    };
    match text.value {
        "true" | "True" | "TRUE" => Verification::Skipped,
        "false" | "False" | "FALSE" => Verification::Required,
        _ => {
            problems.report(&text.place, "must be true or false", "");
            Verification::Required
        }
    }
}

fn claim_path(text: &Text<'_>, problems: &mut Problems) -> Option<ClaimPath> {
    let path = ClaimPath::parse(text.value);
    if path.is_none() {
        let what = "is not a supported JSON path: only names and dots are";
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
    rule(text.value)
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
            [] => "Add that entry: config/issuers.yaml has one to copy".to_owned(),
            known => did_you_mean(text.value, known),
        };
        problems.report(&text.place, what, suggestion);
        return None;
    };
    provider.clone().map(Rule::CiProvider)
}

//! Warnings about entries that trust more people than an operator may think.

use crate::{
    config::problem::{Place, Problems},
    trusted_issuer::TrustedIssuer,
};

/// The audience of Sigstore's public instance, which clients ask for unless told otherwise.
const SHARED_AUDIENCE: &str = "sigstore";

/// Issuers with customers or users all over the world: whoever has an account there gets tokens.
const OPEN_TO_THE_WORLD: [&str; 16] = [
    "https://accounts.google.com",
    "https://agent.buildkite.com",
    "https://appleid.apple.com",
    "https://asia-oidc.buddyusercontent.com",
    "https://eu-oidc.buddyusercontent.com",
    "https://gitlab.com",
    "https://issuer.enforce.dev",
    "https://issuer.hello.coop",
    "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
    "https://oauth2.sigstage.dev/auth",
    "https://oauth2.sigstore.dev/auth",
    "https://oidc.buddyusercontent.com",
    "https://oidc.circleci.com",
    "https://oidc.codefresh.io",
    "https://token.actions.githubusercontent.com",
    "https://www.kaggle.com/api/v1/models/signing",
];

/// What the operator may not have meant by an entry.
pub(super) fn warn(issuer: &TrustedIssuer, place: &Place, problems: &mut Problems) {
    let rules = issuer.admission();
    let is_open = issuer.name().is_pattern() || OPEN_TO_THE_WORLD.contains(&issuer.name().as_str());
    if is_open && rules.conditions().is_empty() {
        let who = if issuer.rule().names_workloads() {
            "every pipeline or workload of every customer of"
        } else {
            "everybody who has an account with"
        };
        let what = format!("{who} this issuer gets a certificate here: it has no `allow`");
        problems.warn(place, what, way_out(issuer));
    }
    if issuer.audience() == SHARED_AUDIENCE && rules.key_binding().is_none() {
        let what = "takes the audience `sigstore`, as other entries of this file may. That is the audience of every Sigstore \
                    instance: whoever runs one can use here the tokens that are sent there";
        let suggestion =
            "Choose one of your own, such as `mayfly.example.com`, where your clients can ask for it";
        problems.warn_once(place, what, suggestion);
    }
}

/// Conditions that fit the claims of well-known issuers: part of the name, the type or nothing, the condition.
const EXAMPLES: [(&str, &str, &str); 8] = [
    (
        "githubusercontent",
        "",
        r#"claims.repository_owner_id == "123456""#,
    ),
    (
        "gitlab",
        "email",
        r#"'"example/signers" in claims.groups_direct'"#,
    ),
    ("gitlab", "", r#"claims.namespace_id == "123456""#),
    ("accounts.google.com", "email", r#"claims.hd == "example.com""#),
    ("buildkite", "", r#"claims.organization_slug == "example""#),
    (
        "circleci",
        "",
        r#"claims["oidc.circleci.com/org-id"] == "0a1b2c3d-…""#,
    ),
    ("codefresh", "", r#"claims.account_id == "0a1b2c3d…""#),
    ("buddy", "", r#"claims.workspace_domain == "example""#),
];

/// What to do about an issuer that is open to all.
fn way_out(issuer: &TrustedIssuer) -> String {
    let name = issuer.name().as_str();
    // Whoever has a tenant chooses its addresses.
    if name.contains("microsoftonline") {
        return "Name your own tenant's issuer, as config/entra.yaml does".to_owned();
    }
    let fits = |(part, kind, _): &&(&str, &str, &str)| {
        name.contains(part) && (kind.is_empty() || *kind == issuer.issuer_type())
    };
    let condition = EXAMPLES.iter().find(fits).map(|(_, _, condition)| *condition);
    let condition = condition.unwrap_or(match issuer.issuer_type() {
        "email" => r#"claims.email.endsWith("@example.com")"#,
        "kubernetes" => r#"claims.iss == "https://…""#,
        _ => r#"claims.sub.startsWith("…")"#,
    });
    format!("Admit your own only, such as `allow: {condition}`")
}

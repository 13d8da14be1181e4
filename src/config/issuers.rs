//! The issuer file: who is trusted to say who somebody is, in the format of Fulcio's configuration, YAML or JSON.
//!
//! Every problem is reported at once. Nothing is silently ignored but `description`, `contact` and `environment`, which
//! describe, and Fulcio's own keys without a value; what works and may not be meant is a warning.

mod admission;
mod ci_metadata;
mod entry;
mod openness;
mod rule;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use self::entry::Entries;
use super::{
    ConfigErrors, Problem,
    fields::{Fields, Keys},
    problem::{Place, Problems},
    yaml::{self, Node},
};
use crate::{
    identity::CiProvider,
    token::FetchPolicy,
    trusted_issuer::{IssuerName, TrustedIssuer, TrustedIssuers},
};

// `define` only holds anchors.
const ROOT: Keys = &[OIDC_ISSUERS, META_ISSUERS, "ci-issuer-metadata", "define"];
const OIDC_ISSUERS: &str = "oidc-issuers";
const META_ISSUERS: &str = "meta-issuers";

/// A checked issuer file.
#[derive(Debug)]
pub struct IssuerFile {
    /// Who is trusted.
    pub issuers: TrustedIssuers,
    /// What the operator may not have meant, in the order of the file's lines.
    pub warnings: Vec<Problem>,
}

/// Compiled `ci-issuer-metadata`; an entry that has problems of its own is there, but empty.
type CiProviders = BTreeMap<String, Provider>;

/// One entry of `ci-issuer-metadata`.
#[derive(Debug)]
struct Provider {
    compiled: Option<Arc<CiProvider>>,
    definition: serde_json::Value,
}

/// Reads, checks and compiles the issuer file at `path`, whose issuers' keys are to be fetched under `policy`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load(path: &Path, policy: &FetchPolicy) -> Result<IssuerFile, ConfigErrors> {
    parse(path, &read(path)?, policy)
}

/// The text of the issuer file at `path`, for [`parse`].
///
/// # Errors
/// It cannot be read, is too large or is not UTF-8.
pub fn read(path: &Path) -> Result<String, ConfigErrors> {
    let mut problems = Problems::new(path);
    let text = yaml::read(path, &mut problems);
    problems.into_result(text)
}

/// Checks and compiles the text of an issuer file, as [`load`] does; `path` is what the problems name.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(path: &Path, text: &str, policy: &FetchPolicy) -> Result<IssuerFile, ConfigErrors> {
    let mut problems = Problems::new(path);
    let issuers = issuers(text, policy, &mut problems);
    let warnings = problems.take_warnings();
    let issuers = problems.into_result(issuers)?;
    Ok(IssuerFile { issuers, warnings })
}

fn issuers(text: &str, policy: &FetchPolicy, problems: &mut Problems) -> Option<TrustedIssuers> {
    let root = yaml::parse(text, problems)?;
    let fields = Fields::open_with_empty(Place::whole_file(), &root, (ROOT, ROOT), problems)?;
    let providers = fields
        .get("ci-issuer-metadata")
        .map(|(place, node)| providers(&place, node, problems))
        .unwrap_or_default();
    let mut entries = Entries {
        providers: &providers,
        policy,
        problems,
    };
    let mut issuers = section(&fields, OIDC_ISSUERS, &mut entries);
    issuers.extend(section(&fields, META_ISSUERS, &mut entries));
    if issuers.is_empty() && !problems.is_empty() {
        return None;
    }
    if issuers.is_empty() {
        let suggestion = "Name at least one below `oidc-issuers`; config/issuers.yaml is a starting point";
        problems.report(fields.place(), "names no issuer", suggestion);
    }
    Some(TrustedIssuers::new(issuers))
}

fn section(fields: &Fields<'_>, key: &str, entries: &mut Entries<'_>) -> Vec<TrustedIssuer> {
    let Some((place, node)) = fields.get(key) else {
        return Vec::new();
    };
    let mut issuers = Vec::new();
    for entry in node.entries(&place, entries.problems).unwrap_or_default() {
        let place = entry.place(&place);
        let problems = &mut *entries.problems;
        if entry::KEYS.iter().any(|known| entry.is_named(known)) {
            problems.report(&place, "is a key of an entry", "Indent it below its issuer's URL");
            continue;
        }
        let name = match entry.key() {
            text if key == META_ISSUERS && text.contains('*') => IssuerName::pattern(text),
            text => IssuerName::exact(text),
        };
        let name = name.map_err(|error| problems.report(&place, error.to_string(), error.suggestion()));
        if let Some(normal) = name.as_ref().ok().and_then(IssuerName::normal_form) {
            let suggestion =
                format!("Keep it if the `iss` of the tokens is that, letter for letter; or use `{normal}`");
            problems.warn(&place, "is not in its normal form", suggestion);
        }
        if let (Ok(IssuerName::Exact(_)), META_ISSUERS) = (&name, key) {
            let above = fields.get(OIDC_ISSUERS).map(|(_, node)| node);
            if above.is_some_and(|above| above.has_key(entry.key())) {
                problems.report(&place, "stands below `oidc-issuers` as well", "Keep one of them");
            } else {
                let what = "has no `*`, so it is a single issuer and not a pattern";
                problems.warn(&place, what, "Move it to `oidc-issuers`");
            }
        }
        issuers.extend(entries.compile(place, name.as_ref().ok(), entry));
    }
    issuers
}

fn providers(place: &Place, node: &Node, problems: &mut Problems) -> CiProviders {
    let mut providers = CiProviders::new();
    for entry in node.entries(place, problems).unwrap_or_default() {
        let provider = Provider {
            compiled: ci_metadata::compile(&entry.place(place), entry.node(), problems).map(Arc::new),
            definition: entry.node().canonical(),
        };
        providers.insert(entry.key().to_owned(), provider);
    }
    providers
}

//! The issuer file: who is trusted to say who somebody is, in the format of Fulcio's configuration, YAML or JSON.
//!
//! Every problem is reported at once. Nothing is silently ignored but `description`, `contact` and `environment`, which
//! describe; what works and may not be meant is a warning.

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
    trusted_issuer::{IssuerName, TrustedIssuer, TrustedIssuers},
};

// `define` only holds anchors.
const ROOT: Keys = &["oidc-issuers", META_ISSUERS, "ci-issuer-metadata", "define"];
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

/// Reads, checks and compiles the issuer file at `path`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load(path: &Path) -> Result<IssuerFile, ConfigErrors> {
    let mut problems = Problems::new(path);
    let issuers = yaml::read(path, &mut problems).and_then(|text| issuers(&text, &mut problems));
    finish(issuers, problems)
}

/// Checks and compiles the text of an issuer file; `path` is what the problems name.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(path: &Path, text: &str) -> Result<IssuerFile, ConfigErrors> {
    let mut problems = Problems::new(path);
    let issuers = issuers(text, &mut problems);
    finish(issuers, problems)
}

fn finish(issuers: Option<TrustedIssuers>, mut problems: Problems) -> Result<IssuerFile, ConfigErrors> {
    let warnings = problems.take_warnings();
    let issuers = problems.into_result(issuers)?;
    Ok(IssuerFile { issuers, warnings })
}

fn issuers(text: &str, problems: &mut Problems) -> Option<TrustedIssuers> {
    let root = yaml::parse(text, problems)?;
    let fields = Fields::open(Place::whole_file(), &root, ROOT, problems)?;
    let providers = fields
        .get("ci-issuer-metadata")
        .map(|(place, node)| providers(&place, node, problems))
        .unwrap_or_default();
    let mut issuers = section(&fields, "oidc-issuers", &providers, problems);
    issuers.extend(section(&fields, META_ISSUERS, &providers, problems));
    if issuers.is_empty() && !problems.is_empty() {
        return None;
    }
    if issuers.is_empty() {
        let suggestion = "Name at least one below `oidc-issuers`; config/issuers.yaml is a starting point";
        problems.report(fields.place(), "names no issuer", suggestion);
    }
    Some(TrustedIssuers::new(issuers))
}

fn section(
    fields: &Fields<'_>,
    key: &str,
    providers: &CiProviders,
    problems: &mut Problems,
) -> Vec<TrustedIssuer> {
    let Some((place, node)) = fields.get(key) else {
        return Vec::new();
    };
    let mut issuers = Vec::new();
    for entry in node.entries(&place, problems).unwrap_or_default() {
        let place = entry.place(&place);
        let name = match entry.key() {
            text if key == META_ISSUERS && text.contains('*') => IssuerName::pattern(text),
            text => IssuerName::exact(text),
        };
        let name = name.map_err(|error| problems.report(&place, error.to_string(), error.suggestion()));
        if let (Ok(IssuerName::Exact(_)), META_ISSUERS) = (&name, key) {
            let what = "has no `*`, so it is a single issuer and not a pattern";
            problems.warn(&place, what, "Move it to `oidc-issuers`");
        }
        let mut entries = Entries { providers, problems };
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

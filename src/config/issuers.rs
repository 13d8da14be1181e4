//! The issuer file: who is trusted to say who somebody is, in the format of Fulcio's configuration.
//!
//! Every problem is reported at once. What Fulcio knows and this release does not is refused by name; nothing is
//! silently ignored but `description`, `contact` and `environment`, which describe.

mod ci_metadata;
mod entry;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    ConfigErrors,
    fields::{Fields, Keys},
    problem::{Place, Problems},
    yaml::{self, Entry, Node},
};
use crate::{identity::CiProvider, trusted_issuer::TrustedIssuers};

const ROOT: Keys = Keys {
    // `define` only holds anchors.
    known: &["oidc-issuers", "ci-issuer-metadata", "define"],
    unsupported: &["meta-issuers", "OIDCIssuers", "MetaIssuers", "CIIssuerMetadata"],
};

/// Compiled `ci-issuer-metadata`; an entry that has problems of its own is there, but empty.
type CiProviders = BTreeMap<String, Option<Arc<CiProvider>>>;

/// Reads, checks and compiles the issuer file at `path`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load(path: &Path) -> Result<TrustedIssuers, ConfigErrors> {
    let mut problems = Problems::new(path);
    let issuers = yaml::read(path, &mut problems).and_then(|text| issuers(&text, &mut problems));
    problems.into_result(issuers)
}

/// Checks and compiles the text of an issuer file; `path` is what the problems name.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(path: &Path, text: &str) -> Result<TrustedIssuers, ConfigErrors> {
    let mut problems = Problems::new(path);
    let issuers = issuers(text, &mut problems);
    problems.into_result(issuers)
}

fn issuers(text: &str, problems: &mut Problems) -> Option<TrustedIssuers> {
    let root = yaml::parse(text, problems)?;
    let fields = Fields::open(Place::whole_file(), &root, ROOT, problems)?;
    let providers = fields
        .get("ci-issuer-metadata")
        .map(|(place, node)| providers(&place, node, problems))
        .unwrap_or_default();
    let suggestion = "Name at least one issuer below it; config/issuers.yaml is a starting point";
    let (place, node) = fields.required("oidc-issuers", suggestion, problems)?;
    let entries = node.entries(&place, problems)?;
    if entries.is_empty() {
        problems.report(&place, "names no issuer", suggestion);
    }
    let compile = |entry: &Entry| entry::compile(&entry.place(&place), entry, &providers, problems);
    Some(TrustedIssuers::new(entries.iter().filter_map(compile).collect()))
}

fn providers(place: &Place, node: &Node, problems: &mut Problems) -> CiProviders {
    let mut providers = CiProviders::new();
    for entry in node.entries(place, problems).unwrap_or_default() {
        let provider = ci_metadata::compile(&entry.place(place), entry.node(), problems);
        providers.insert(entry.key().to_owned(), provider.map(Arc::new));
    }
    providers
}

//! `ci-issuer-metadata`: how the claims of a CI provider become a name and extensions.

use std::collections::BTreeMap;

use crate::{
    config::{
        fields::{Fields, Keys, Text},
        problem::{Place, Problems, did_you_mean},
        yaml::{Entry, Node},
    },
    extension::FulcioExtension,
    identity::{CiProvider, Template},
};

const KEYS: Keys = &[
    "default-template-values",
    "extension-templates",
    "subject-alternative-name-template",
];

const MAY_BE_EMPTY: Keys = &["default-template-values", "extension-templates"];

/// Extensions that always carry what the token says.
const NEVER_TEMPLATED: [FulcioExtension; 3] = [
    FulcioExtension::LegacyIssuer,
    FulcioExtension::Issuer,
    FulcioExtension::TokenSubject,
];

/// Compiles one entry; nothing if a part of it cannot be used, which is then reported.
pub(super) fn compile(place: &Place, node: &Node, problems: &mut Problems) -> Option<CiProvider> {
    let fields = Fields::open_with_empty(place.clone(), node, (KEYS, MAY_BE_EMPTY), problems)?;
    let defaults = fields
        .get("default-template-values")
        .map(|(place, node)| defaults(&place, node, problems))
        .unwrap_or_default();
    let extensions = fields
        .get("extension-templates")
        .map(|(place, node)| extensions(&place, node, problems))
        .unwrap_or_default();
    let suggestion = "Give a template of a URI, such as \"https://ci.example.com/{{ .repository }}\"";
    let subject = fields.required_text("subject-alternative-name-template", suggestion, problems)?;
    let subject = template(&subject, problems)?;
    Some(CiProvider::new(subject, extensions, &defaults))
}

fn defaults(place: &Place, node: &Node, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut defaults = BTreeMap::new();
    for entry in node.entries(place, problems).unwrap_or_default() {
        if let Some(text) = entry.node().text(&entry.place(place), problems) {
            defaults.insert(entry.key().to_owned(), text.value.to_owned());
        }
    }
    defaults
}

fn extensions(place: &Place, node: &Node, problems: &mut Problems) -> Vec<(FulcioExtension, Template)> {
    let mut templates = Vec::new();
    for entry in node.entries(place, problems).unwrap_or_default() {
        let Some(extension) = extension(place, entry, problems) else {
            continue;
        };
        let text = entry.node().text(&entry.place(place), problems);
        // An empty template is no template, as for Fulcio.
        let Some(text) = text.filter(|text| !text.value.trim().is_empty()) else {
            continue;
        };
        templates.extend(template(&text, problems).map(|template| (extension, template)));
    }
    templates
}

fn extension(place: &Place, entry: &Entry, problems: &mut Problems) -> Option<FulcioExtension> {
    let named = |extension: &&FulcioExtension| entry.is_named(extension.name());
    match FulcioExtension::ALL.iter().find(named) {
        Some(extension) if NEVER_TEMPLATED.contains(extension) => {
            let what = "counts for nothing: this extension always carries what the token says";
            problems.warn(&entry.place(place), what, "Remove it");
            None
        }
        Some(extension) => Some(*extension),
        None => {
            let templated = |extension: &&FulcioExtension| !NEVER_TEMPLATED.contains(extension);
            let known: Vec<_> = FulcioExtension::ALL
                .iter()
                .filter(templated)
                .map(|extension| extension.name())
                .collect();
            let suggestion = did_you_mean(entry.key(), &known);
            problems.report(&entry.place(place), "is not the name of an extension", suggestion);
            None
        }
    }
}

fn template(text: &Text<'_>, problems: &mut Problems) -> Option<Template> {
    if !text.value.contains("{{") && text.value.contains(['{', '/', ' ']) {
        let what = format!("names a claim called `{}`", text.value);
        problems.warn(
            &text.place,
            what,
            "Where a template is meant, write {{ .claim }} for each claim",
        );
    }
    match Template::compile(text.value) {
        Ok(template) => Some(template),
        Err(error) => {
            problems.report(&text.place, error.to_string(), "");
            None
        }
    }
}

//! `type: ci-provider`: a URI and extensions made of claims by templates.

use std::{collections::BTreeMap, sync::Arc};

use gotmpl::{TemplateError, Value as Data};
use serde_json::{Map, Value};

use super::{
    IdentityError, Names, SubjectName, Template,
    claims::{claim_text, text_problem},
    uri,
};
use crate::extension::{ExtensionValues, FulcioExtension};

/// One entry of `ci-issuer-metadata`, compiled.
#[derive(Debug)]
pub struct CiProvider {
    subject: Template,
    extensions: Vec<(FulcioExtension, Template)>,
    /// Every name that a template reads, with the value to use where the token has no such claim.
    names: Vec<(Arc<str>, Option<Data>)>,
}

impl CiProvider {
    /// Puts compiled templates together: for the URI in the certificate, and for each extension. `defaults` are the
    /// values for claims that a token may lack; a claim wins over its default.
    #[must_use]
    pub fn new(
        subject: Template,
        extensions: Vec<(FulcioExtension, Template)>,
        defaults: &BTreeMap<String, String>,
    ) -> Self {
        let mut names = BTreeMap::new();
        let templates = extensions.iter().map(|(_, template)| template);
        for name in templates.chain([&subject]).flat_map(Template::names) {
            let default = defaults.get(name).map(|text| Data::String(text.as_str().into()));
            names.insert(Arc::from(name), default);
        }
        Self {
            subject,
            extensions,
            names: names.into_iter().collect(),
        }
    }

    pub(super) fn apply(
        &self,
        issuer: &str,
        subject: &str,
        claims: &Map<String, Value>,
    ) -> Result<Names, IdentityError> {
        let data = self.data(claims)?;
        let uri = self.uri(&data)?;
        let mut values = ExtensionValues::new(issuer, subject);
        for (extension, template) in &self.extensions {
            values.set(*extension, extension_value(*extension, template, &data)?);
        }
        Ok(Names::new(SubjectName::Uri(uri), values))
    }

    /// What the templates read: claims over defaults, all as text. A claim that is unusable (`null`, nested) is an
    /// error even where a default exists, because the issuer did say something.
    fn data(&self, claims: &Map<String, Value>) -> Result<Data, IdentityError> {
        let mut data = BTreeMap::new();
        for (name, default) in &self.names {
            if let Some(value) = claims.get(name.as_ref()) {
                let text = claim_text(name, value)?;
                data.insert(Arc::clone(name), Data::String(text.as_ref().into()));
            } else if let Some(default) = default {
                data.insert(Arc::clone(name), default.clone());
            }
        }
        Ok(Data::Map(Arc::new(data)))
    }

    /// The URI. A part that it always prints must not be empty: `https://ci.example/` would name every project.
    fn uri(&self, data: &Data) -> Result<String, IdentityError> {
        for name in self.subject.printed() {
            match data.field(name) {
                Some(Data::String(text)) if !text.is_empty() => {}
                Some(_) => return Err(IdentityError::claim_invalid(name, "is empty")),
                None => return Err(IdentityError::claim_missing(name)),
            }
        }
        let uri = self
            .subject
            .render(data)
            .map_err(|error| template_failed("the certificate's name", error))?;
        uri::parse(&uri).map_err(IdentityError::SanInvalid)?;
        Ok(uri)
    }
}

fn extension_value(
    extension: FulcioExtension,
    template: &Template,
    data: &Data,
) -> Result<String, IdentityError> {
    let value = template
        .render(data)
        .map_err(|error| template_failed(extension.name(), error))?;
    match text_problem(&value) {
        None => Ok(value),
        Some(problem) => Err(IdentityError::extension_invalid(extension, problem)),
    }
}

fn template_failed(target: &'static str, error: TemplateError) -> IdentityError {
    match error {
        TemplateError::MissingKey { key } => IdentityError::claim_missing(&key),
        error => IdentityError::TemplateFailed {
            target,
            source: Box::new(error),
        },
    }
}

//! `type: ci-provider`, and the types that Fulcio had before it: a URI and extensions made of claims by templates.

mod legacy;
mod template;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use gotmpl::{TemplateError as RenderError, Value as Data};
use serde_json::{Map, Value};

pub use self::{
    legacy::LEGACY_TYPES,
    template::{Template, TemplateError},
};
use super::{
    IdentityError, Names, SubjectName,
    claims::{claim_text, text_problem},
    uri,
};
use crate::extension::{ExtensionValues, FulcioExtension};

/// One entry of `ci-issuer-metadata`, compiled.
#[derive(Debug)]
pub struct CiProvider {
    issuer_type: &'static str,
    subject: Rendering,
    extensions: Vec<(FulcioExtension, Rendering)>,
    /// Every claim that is read, in the order of their names.
    claims: Vec<(Arc<str>, Need)>,
}

/// A template and what becomes of its result.
#[derive(Debug)]
struct Rendering {
    template: Template,
    form: Form,
}

/// What a rendered value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Text, as it is.
    Text,
    /// A URI, printed as Go prints it.
    Uri,
    /// A URI, put together of path elements as Go does it.
    JoinedUri,
}

/// What is asked of a claim.
#[derive(Clone, Debug)]
enum Need {
    /// Any single value; this one if the token has no such claim.
    Value { default: Option<Data> },
    /// A string in which nothing is found wrong.
    Text {
        presence: Presence,
        problem: fn(&str) -> Option<&'static str>,
    },
    /// A whole number other than zero, which no template reads.
    Number,
}

/// Whether a claim may be absent or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
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
        let mut claims = BTreeMap::new();
        let templates = extensions.iter().map(|(_, template)| template);
        for name in templates.chain([&subject]).flat_map(Template::names) {
            let default = defaults.get(name).map(|text| Data::String(text.as_str().into()));
            claims.insert(Arc::from(name), Need::Value { default });
        }
        let text = |(extension, template)| {
            (
                extension,
                Rendering {
                    template,
                    form: Form::Text,
                },
            )
        };
        Self {
            issuer_type: "ci-provider",
            subject: Rendering {
                template: subject,
                form: Form::Uri,
            },
            extensions: extensions.into_iter().map(text).collect(),
            claims: claims.into_iter().collect(),
        }
    }

    pub(super) fn issuer_type(&self) -> &'static str {
        self.issuer_type
    }

    pub(super) fn reads(&self, claim: &str) -> bool {
        self.claims.iter().any(|(name, _)| name.as_ref() == claim)
    }

    pub(super) fn apply(
        &self,
        issuer: &str,
        subject: &str,
        claims: &Map<String, Value>,
    ) -> Result<Names, IdentityError> {
        let data = self.data(claims)?;
        let uri = self.uri(claims, &data)?;
        let mut values = ExtensionValues::new(issuer, subject);
        for (extension, rendering) in &self.extensions {
            values.set(*extension, extension_value(*extension, rendering, &data)?);
        }
        Ok(Names::new(SubjectName::Uri(uri), values))
    }

    /// What the templates read: claims over defaults, all as text. A claim that is unusable (nested) is an error even
    /// where a default exists, because the issuer did say something.
    fn data(&self, claims: &Map<String, Value>) -> Result<Data, IdentityError> {
        let mut data = BTreeMap::new();
        for (name, need) in &self.claims {
            if let Some(value) = need.value(name, claims.get(name.as_ref()))? {
                data.insert(Arc::clone(name), value);
            }
        }
        Ok(Data::Map(Arc::new(data)))
    }

    /// The URI. A part that it always prints must not be empty: `https://ci.example/` would name every project.
    fn uri(&self, claims: &Map<String, Value>, data: &Data) -> Result<String, IdentityError> {
        let template = &self.subject.template;
        let is_null = |name: &&str| self.takes_null(name) && claims.get(*name).is_some_and(Value::is_null);
        if let Some(name) = template.names().find(is_null) {
            return Err(IdentityError::claim_invalid(name, "is null"));
        }
        for name in template.printed() {
            match data.field(name) {
                Some(Data::String(text)) if !text.is_empty() => {}
                Some(_) => return Err(IdentityError::claim_invalid(name, "is empty")),
                None => return Err(IdentityError::claim_missing(name)),
            }
        }
        let uri = template
            .render(data)
            .map_err(|error| template_failed("the certificate's name", error))?;
        let uri = self.subject.form.of(&uri).map_err(IdentityError::SanInvalid)?;
        uri::parse(&uri).map_err(IdentityError::SanInvalid)?;
        Ok(uri.into_owned())
    }

    /// Whether `null` would be printed.
    fn takes_null(&self, name: &str) -> bool {
        let need = self.claims.iter().find(|(own, _)| own.as_ref() == name);
        matches!(need, Some((_, Need::Value { .. })))
    }
}

impl Need {
    fn value(&self, name: &str, claim: Option<&Value>) -> Result<Option<Data>, IdentityError> {
        let text = |value: &Value| Ok(Some(Data::String(Arc::from(&*claim_text(name, value)?))));
        match self {
            Self::Value { default } => claim.map_or(Ok(default.clone()), text),
            Self::Text { presence, problem } => {
                let value = match claim {
                    None | Some(Value::Null) => "",
                    Some(Value::String(value)) => value,
                    Some(_) => return Err(IdentityError::claim_invalid(name, "is not a string")),
                };
                match (value, presence, problem(value)) {
                    ("", Presence::Required, _) => Err(IdentityError::claim_missing(name)),
                    (_, _, Some(problem)) => Err(IdentityError::claim_invalid(name, problem)),
                    (value, _, None) => text(&Value::from(value)),
                }
            }
            Self::Number => match claim.and_then(Value::as_i64) {
                Some(1.. | ..=-1) => Ok(None),
                _ => Err(IdentityError::claim_invalid(
                    name,
                    "is not a whole number other than zero",
                )),
            },
        }
    }
}

impl Form {
    fn of(self, value: &str) -> Result<Cow<'_, str>, &'static str> {
        match self {
            Self::Text => Ok(Cow::Borrowed(value)),
            Self::Uri => uri::printed(value).map(Cow::Owned),
            Self::JoinedUri => uri::joined(value).map(Cow::Owned),
        }
    }
}

fn extension_value(
    extension: FulcioExtension,
    rendering: &Rendering,
    data: &Data,
) -> Result<String, IdentityError> {
    let value = rendering
        .template
        .render(data)
        .map_err(|error| template_failed(extension.name(), error))?;
    let value = rendering.form.of(&value);
    let value = value.map_err(|problem| IdentityError::extension_invalid(extension, problem))?;
    match text_problem(&value) {
        None => Ok(value.into_owned()),
        Some(problem) => Err(IdentityError::extension_invalid(extension, problem)),
    }
}

fn template_failed(target: &'static str, error: RenderError) -> IdentityError {
    match error {
        RenderError::MissingKey { key } => IdentityError::claim_missing(&key),
        error => IdentityError::TemplateFailed {
            target,
            source: Box::new(error),
        },
    }
}

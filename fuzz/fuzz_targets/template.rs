//! A template of the issuer file on claims: compiling and rendering it ends, without a panic. What a certificate would
//! carry is at most 2048 bytes, without characters that control or that turn the direction of text, and its URI stays on
//! the host that the template for it spells out. Values of claims are never evaluated: they come out as they went in,
//! `{{` and all.
#![no_main]

use std::{collections::BTreeMap, sync::Arc};

use libfuzzer_sys::fuzz_target;
use mayfly::{
    extension::FulcioExtension,
    identity::{CiProvider, Names, Rule, SubjectName, Template},
};
use mayfly_fuzz::TextAndClaims;
use serde_json::{Map, Value};
use url::Url;

/// Where the input's template stands.
const FUZZED: FulcioExtension = FulcioExtension::BuildSignerUri;

/// Two ways to carry the claim `value` as it is.
const AS_TEMPLATE: FulcioExtension = FulcioExtension::BuildTrigger;
const AS_NAME: FulcioExtension = FulcioExtension::SourceRepositoryRef;

/// What stands for the claim `value` if the input has none; it may not be evaluated either.
const DEFAULT_VALUE: &str = "{{ .project }}";

/// Functions whose result is more than their arguments, one after the other.
const NOT_JOINING: [&str; 7] = ["and", "eq", "if", "ne", "not", "or", "printf"];

/// Unicode's private-use characters (section 23.5).
const PRIVATE_USE: std::ops::RangeInclusive<char> = '\u{e000}'..='\u{f8ff}';

fuzz_target!(|input: TextAndClaims<'_>| {
    let Ok(template) = Template::compile(input.text) else {
        return;
    };
    let rule = rule(template);
    let Some(names) = apply(&rule, &input.claims) else {
        return;
    };
    assert_eq!(apply(&rule, &input.claims).as_ref(), Some(&names));
    for (_, value) in names.extensions().iter() {
        assert_acceptable(value);
    }
    let (SubjectName::Uri(uri) | SubjectName::Email(uri) | SubjectName::Username(uri)) = names.subject();
    assert_acceptable(uri);
    let host = Url::parse(uri).map(|url| url.host_str().map(str::to_owned));
    assert_eq!(host, Ok(Some("ci.example".to_owned())));

    let value = input.claims.get("value");
    if let Some(value) = value.map_or(Some(DEFAULT_VALUE), Value::as_str) {
        assert_eq!(extension(&names, AS_TEMPLATE), value);
        assert_eq!(extension(&names, AS_NAME), value);
    }
    if is_joining(input.text) {
        assert_joined(&rule, &input.claims, extension(&names, FUZZED));
    }
});

fn rule(template: Template) -> Rule {
    #[expect(clippy::expect_used, reason = "does not depend on the input")]
    let fixed = |source| Template::compile(source).expect("a template");
    let extensions = vec![
        (FUZZED, template),
        (AS_TEMPLATE, fixed("{{ .value }}")),
        (AS_NAME, fixed("value")),
    ];
    let subject = fixed("https://ci.example/{{ .project }}");
    let defaults = [("project", "job"), ("value", DEFAULT_VALUE)];
    let defaults = BTreeMap::from(defaults.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let provider = CiProvider::new(subject, extensions, &defaults);
    Rule::CiProvider(Arc::new(provider))
}

fn apply(rule: &Rule, claims: &Map<String, Value>) -> Option<Names> {
    rule.apply("https://idp.example", "subject", claims).ok()
}

/// An empty value is no extension.
fn extension(names: &Names, wanted: FulcioExtension) -> &str {
    let mut values = names.extensions().iter();
    let found = values.find(|(extension, _)| *extension == wanted);
    found.map_or("", |(_, value)| value)
}

fn assert_acceptable(value: &str) {
    assert!(value.len() <= 2048);
    assert!(!value.contains(char::is_control), "{value:?}");
    assert!(!value.contains(turns_direction), "{value:?}");
}

/// Unicode's `Bidi_Control` (UAX #9, section 2).
fn turns_direction(character: char) -> bool {
    let others = ['\u{61c}', '\u{200e}', '\u{200f}'];
    others.contains(&character)
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
}

/// Whether the template does no more with claims than to put them, and its own text, one after the other.
fn is_joining(template: &str) -> bool {
    let mut words = template.split(|character: char| !character.is_ascii_alphanumeric());
    words.all(|word| !NOT_JOINING.contains(&word))
}

/// Renders with a stand-in of one character for each claim, and then puts the claims' values in their places: had any
/// been evaluated, altered or left out the first time, `rendered` would differ.
fn assert_joined(rule: &Rule, claims: &Map<String, Value>, rendered: &str) {
    if rendered.contains(|character| PRIVATE_USE.contains(&character)) {
        return;
    }
    let mut stand_ins = claims.clone();
    let mut values = Vec::new();
    let texts = stand_ins
        .values_mut()
        .filter(|value| value.as_str().is_some_and(|text| !text.is_empty()));
    for (value, stand_in) in texts.zip(PRIVATE_USE) {
        values.push((stand_in, std::mem::replace(value, stand_in.to_string().into())));
    }
    // Refused if the stand-ins, of three bytes each, make it too long.
    let Some(names) = apply(rule, &stand_ins) else {
        return;
    };
    let mut joined = extension(&names, FUZZED).to_owned();
    for (stand_in, value) in values {
        joined = joined.replace(stand_in, value.as_str().unwrap_or_default());
    }
    assert_eq!(joined, rendered);
}

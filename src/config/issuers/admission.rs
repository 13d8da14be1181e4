//! `allow`, `rate-limit`, `single-use` and `key-binding`: which tokens of an entry get a certificate.

use crate::{
    admission::{
        AdmissionRules, CONDITION_FUNCTIONS, Condition, ConditionError, KeyBinding, Rate, RateLimits,
        TokenReuse,
    },
    config::{
        fields::{Fields, Keys, Text},
        problem::{Place, Problems, did_you_mean},
        yaml::Node,
    },
};

const RATE_LIMIT: Keys = &["issuer", "identity"];

/// The name of a condition that has none of its own.
const UNNAMED: &str = "allow";

/// Compiles the rules of one entry. What cannot be used is reported.
pub(super) fn compile(fields: &Fields<'_>, problems: &mut Problems) -> AdmissionRules {
    let conditions = fields
        .get("allow")
        .map(|(place, node)| conditions(&place, node, problems))
        .unwrap_or_default();
    let limits = fields
        .get("rate-limit")
        .map(|(place, node)| rate_limits(place, node, problems))
        .unwrap_or_default();
    let reuse = match fields.flag("single-use", problems) {
        true => TokenReuse::Refused,
        false => TokenReuse::Allowed,
    };
    AdmissionRules::new(conditions, limits)
        .with_reuse(reuse)
        .with_key_binding(key_binding(fields, problems))
}

/// One expression, or several with names.
fn conditions(place: &Place, node: &Node, problems: &mut Problems) -> Vec<Condition> {
    if node.is_list() {
        let suggestion = "Give each condition a name: write `main: …`, not `- …`";
        problems.report(
            place,
            "must be one condition, or conditions with names",
            suggestion,
        );
        return Vec::new();
    }
    if !node.is_mapping() {
        let text = node.text(place, problems);
        return text
            .and_then(|text| condition(UNNAMED, &text, problems))
            .into_iter()
            .collect();
    }
    let mut conditions = Vec::new();
    let entries = node.entries(place, problems).unwrap_or_default();
    if entries.is_empty() {
        problems.report(place, "has no condition", "Write a CEL expression on `claims`");
    }
    for entry in entries {
        let place = entry.place(place);
        if entry.is_null() {
            problems.report(&place, "has no condition", "Write a CEL expression on `claims`");
        } else if let Some(text) = entry.node().text(&place, problems) {
            conditions.extend(condition(entry.key(), &text, problems));
        }
    }
    conditions
}

fn condition(name: &str, text: &Text<'_>, problems: &mut Problems) -> Option<Condition> {
    Condition::compile(name, text.value)
        .map_err(|error| {
            let suggestion = match &error {
                ConditionError::Function(name) => did_you_mean(name, &CONDITION_FUNCTIONS),
                error => error.suggestion(),
            };
            problems.report(&text.place, error.to_string(), suggestion);
        })
        .ok()
}

fn rate_limits(place: Place, node: &Node, problems: &mut Problems) -> RateLimits {
    if !node.is_mapping() {
        let suggestion = "Write { identity: 60/minute }, or issuer, or both";
        problems.report(&place, "does not say whose certificates it limits", suggestion);
        return RateLimits::default();
    }
    let Some(fields) = Fields::open(place, node, RATE_LIMIT, problems) else {
        return RateLimits::default();
    };
    let mut rate = |key: &str| -> Option<Rate> {
        let text = fields.text(key, problems)?;
        let rate = text.value.parse();
        rate.map_err(|error: crate::admission::RateError| {
            problems.report(&text.place, error.to_string(), "Write it as 60/minute");
        })
        .ok()
    };
    RateLimits::new(rate("issuer"), rate("identity"))
}

fn key_binding(fields: &Fields<'_>, problems: &mut Problems) -> Option<KeyBinding> {
    let text = fields.text("key-binding", problems)?;
    let known = KeyBinding::ALL
        .into_iter()
        .find(|binding| binding.name() == text.value);
    if known.is_none() {
        let names = KeyBinding::ALL.map(KeyBinding::name);
        let what = format!("`{}` is not a place where a token can name its key", text.value);
        problems.report(&text.place, what, did_you_mean(text.value, &names));
    }
    known
}

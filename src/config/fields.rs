//! Mappings of a configuration file, read key by key: what is absent, unknown, doubled or of the wrong kind is reported.

use std::collections::HashMap;

use super::{
    problem::{Place, Problems, did_you_mean},
    yaml::{Entry, Node, Value},
};

/// The keys that a mapping may have. Each may also be spelt as in Fulcio's JSON files ([`json_spelling`]).
pub(crate) type Keys = &'static [&'static str];

/// Words that Fulcio's JSON spells in capitals.
const ACRONYMS: [&str; 8] = ["ca", "ci", "id", "oidc", "sha", "spiffe", "uri", "url"];

/// How a key is spelt in Fulcio's JSON files: `issuer-url` is `IssuerURL`.
pub(crate) fn json_spelling(key: &str) -> String {
    let capitalised = |word: &str| {
        if ACRONYMS.contains(&word) {
            return word.to_ascii_uppercase();
        }
        let mut characters = word.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(characters).collect()
    };
    key.split('-').map(capitalised).collect()
}

/// A text value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) place: Place,
    pub(crate) value: &'a str,
}

/// A mapping whose keys are fixed.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    place: Place,
    entries: &'a [Entry],
    /// Where keys stand that this mapping may leave out.
    defaults: Option<&'a Fields<'a>>,
    /// The keys that count as left out if they have no value, or an empty one.
    may_be_empty: Keys,
}

impl<'a> Fields<'a> {
    /// Reports every key that is unknown, given twice, or without a value; nothing if the value is not a mapping at
    /// all.
    pub(crate) fn open(place: Place, node: &'a Node, keys: Keys, problems: &mut Problems) -> Option<Self> {
        Self::open_with_empty(place, node, (keys, &[]), problems)
    }

    /// As [`Self::open`], but those of `may_be_empty` count as left out if they have no value or an
    /// empty one, as in Fulcio's files, which tools write with every key.
    pub(crate) fn open_with_empty(
        place: Place,
        node: &'a Node,
        (keys, may_be_empty): (Keys, Keys),
        problems: &mut Problems,
    ) -> Option<Self> {
        let entries = node.entries(&place, problems)?;
        for entry in entries {
            let (key, place) = (entry.key.as_str(), entry.place(&place));
            if !keys.iter().any(|known| entry.is_named(known)) {
                problems.report(&place, "is not a known key", did_you_mean(key, keys));
            } else if entry.is_null() && !may_be_empty.iter().any(|known| entry.is_named(known)) {
                problems.report(&place, "has no value", "Give it one, or remove the key");
            }
        }
        report_both_spellings(&place, entries, keys, problems);
        Some(Self {
            place,
            entries,
            defaults: None,
            may_be_empty,
        })
    }

    /// The same mapping, with `defaults` for the keys that it leaves out.
    pub(crate) fn with_defaults(self, defaults: &'a Fields<'a>) -> Self {
        Self {
            defaults: Some(defaults),
            ..self
        }
    }

    /// Where the mapping stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The value under `key` unless it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<(Place, &'a Node)> {
        match self.find(key) {
            Some(entry) if !self.is_left_out(entry) => Some((entry.place(&self.place), &entry.node)),
            _ => self.defaults?.get(key),
        }
    }

    /// As [`Self::get`], without the defaults.
    pub(crate) fn get_own(&self, key: &str) -> Option<(Place, &'a Node)> {
        let entry = self.find(key).filter(|entry| !self.is_left_out(entry))?;
        Some((entry.place(&self.place), &entry.node))
    }

    fn is_left_out(&self, entry: &Entry) -> bool {
        let may_be_empty = || self.may_be_empty.iter().any(|known| entry.is_named(known));
        entry.is_null() || entry.is_empty_text() && may_be_empty()
    }

    fn find(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.is_named(key))
    }

    fn has(&self, key: &str) -> bool {
        let may_be_empty = self.may_be_empty.contains(&key);
        match self.find(key) {
            Some(entry) if !(may_be_empty && self.is_left_out(entry)) => true,
            _ => self.defaults.is_some_and(|defaults| defaults.has(key)),
        }
    }

    /// Whether the text under `key` is true; false if it is absent.
    pub(crate) fn flag(&self, key: &str, problems: &mut Problems) -> bool {
        let Some(text) = self.text(key, problems) else {
            return false;
        };
        match text.value {
            "true" | "True" | "TRUE" => true,
            "false" | "False" | "FALSE" => false,
            _ => {
                problems.report(&text.place, "must be true or false", "");
                false
            }
        }
    }

    /// The text under `key`, if there is one.
    pub(crate) fn text(&self, key: &str, problems: &mut Problems) -> Option<Text<'a>> {
        let (place, node) = self.get(key)?;
        node.text(&place, problems)
    }

    /// The value under `key`; its absence is a problem, answered with `suggestion`.
    pub(crate) fn required(
        &self,
        key: &str,
        suggestion: &str,
        problems: &mut Problems,
    ) -> Option<(Place, &'a Node)> {
        if !self.has(key) {
            problems.report(&self.place, format!("`{key}` is missing"), suggestion);
        }
        self.get(key)
    }

    /// The text under `key`; its absence or emptiness is a problem, answered with `suggestion`.
    pub(crate) fn required_text(
        &self,
        key: &str,
        suggestion: &str,
        problems: &mut Problems,
    ) -> Option<Text<'a>> {
        let (place, node) = self.required(key, suggestion, problems)?;
        let text = node.text(&place, problems)?;
        if text.value.trim().is_empty() {
            problems.report(&text.place, "is empty", suggestion);
            return None;
        }
        Some(text)
    }
}

impl Node {
    /// Whether it has keys.
    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Whether it is a mapping with this key.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        matches!(&self.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == key))
    }

    /// Whether it has items.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    /// The entries of a mapping, none for null; reports another kind of value and keys given twice.
    pub(crate) fn entries(&self, place: &Place, problems: &mut Problems) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => {
                report_duplicates(place, entries, problems);
                Some(entries)
            }
            Value::Null => Some(&[]),
            Value::Scalar(_) | Value::List(_) => {
                problems.report(place, "must be a mapping", "Write `key: value` lines below it");
                None
            }
        }
    }

    /// The place of this item of the list at `list`.
    pub(crate) fn place(&self, list: &Place) -> Place {
        list.on_line(self.line)
    }

    /// The items of a list.
    pub(crate) fn items(&self, place: &Place, problems: &mut Problems) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Scalar(_) | Value::Map(_) => {
                problems.report(place, "must be a list", "Write `- value` lines below it");
                &[]
            }
        }
    }

    /// A scalar as text, empty for null; reports another kind of value.
    pub(crate) fn text(&self, place: &Place, problems: &mut Problems) -> Option<Text<'_>> {
        let place = place.on_line(self.line);
        match &self.value {
            Value::Scalar(value) => Some(Text { place, value }),
            Value::Null => Some(Text { place, value: "" }),
            Value::List(_) | Value::Map(_) => {
                problems.report(
                    &place,
                    "must be a single value",
                    "Write it behind the key, on the same line",
                );
                None
            }
        }
    }
}

fn report_duplicates(place: &Place, entries: &[Entry], problems: &mut Problems) {
    let mut first_lines = HashMap::with_capacity(entries.len());
    for entry in entries {
        let key = entry.key.as_str();
        if let Some(first) = first_lines.get(key) {
            let what = format!("is given twice (first on line {first})");
            problems.report(&entry.place(place), what, "Keep one of them");
        } else {
            first_lines.insert(key, entry.line);
        }
    }
}

/// [`report_duplicates`] sees keys as they are written.
fn report_both_spellings(place: &Place, entries: &[Entry], keys: Keys, problems: &mut Problems) {
    for key in keys {
        let spelt_for_json = json_spelling(key);
        let first = entries.iter().find(|entry| entry.key == **key);
        let second = entries.iter().find(|entry| entry.key == spelt_for_json);
        if let (Some(first), Some(second)) = (first, second) {
            let what = format!("is given twice (as `{key}` on line {})", first.line);
            problems.report(&second.place(place), what, "Keep one of them");
        }
    }
}

impl Entry {
    /// Whether this is the entry for `key`, in either spelling.
    pub(crate) fn is_named(&self, key: &str) -> bool {
        self.key == key
            || (self.key.starts_with(|first: char| first.is_ascii_uppercase())
                && self.key == json_spelling(key))
    }

    /// The key as written.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether there is nothing behind the key.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// Whether its value is the empty string.
    fn is_empty_text(&self) -> bool {
        matches!(&self.node.value, Value::Scalar(text) if text.is_empty())
    }

    /// Where the entry stands, given where its mapping does.
    pub(crate) fn place(&self, parent: &Place) -> Place {
        parent.child(&self.key, self.line)
    }
}

//! Mappings of a configuration file, read key by key: what is absent, unknown, doubled or of the wrong kind is reported.

use super::{
    problem::{Place, Problems, did_you_mean},
    yaml::{Entry, Node, Value},
};

/// The keys that a mapping may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// Keys with a meaning here.
    pub(crate) known: &'static [&'static str],
    /// Keys that Fulcio knows and this release does not: refused by name rather than called misspelt.
    pub(crate) unsupported: &'static [&'static str],
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
}

impl<'a> Fields<'a> {
    /// Reports every key that is unknown, not supported yet, given twice, or without a value; nothing if the value is
    /// not a mapping at all.
    pub(crate) fn open(place: Place, node: &'a Node, keys: Keys, problems: &mut Problems) -> Option<Self> {
        let entries = node.entries(&place, problems)?;
        for entry in entries {
            let (key, place) = (entry.key.as_str(), entry.place(&place));
            if keys.unsupported.contains(&key) {
                let what = "is valid for Fulcio but not supported by this release of Mayfly";
                problems.report(&place, what, "Remove it, or wait for a release that has it");
            } else if !keys.known.contains(&key) {
                problems.report(&place, "is not a known key", did_you_mean(key, keys.known));
            } else if entry.is_null() {
                problems.report(&place, "has no value", "Give it one, or remove the key");
            }
        }
        Some(Self { place, entries })
    }

    /// Where the mapping stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The value under `key` unless it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<(Place, &'a Node)> {
        let entry = self.find(key).filter(|entry| !entry.is_null())?;
        Some((entry.place(&self.place), &entry.node))
    }

    fn find(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
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
        if self.find(key).is_none() {
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
                problems.report(&place, "must be a single value", "");
                None
            }
        }
    }
}

fn report_duplicates(place: &Place, entries: &[Entry], problems: &mut Problems) {
    for (index, entry) in entries.iter().enumerate() {
        let first = entries.iter().take(index).find(|other| other.key == entry.key);
        if let Some(first) = first {
            let what = format!("is given twice (first on line {})", first.line);
            problems.report(&entry.place(place), what, "Keep one of them");
        }
    }
}

impl Entry {
    /// The key as written.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// Where the entry stands, given where its mapping does.
    pub(crate) fn place(&self, parent: &Place) -> Place {
        parent.child(&self.key, self.line)
    }
}

//! YAML as a tree with line numbers, so that every problem of a file can be reported at once.
//!
//! Deserialising straight into structs would stop at the first unknown key or wrong type.

use std::{fmt, io, path::Path};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::problem::{Place, Problems};

/// Largest configuration file read. Fulcio's public issuer file has 20 KB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A YAML node and the line on which it is used (for an alias: where the alias stands).
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

/// A node without its place.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    /// A string, or a number or boolean as the file spells it: `client-id: 0123` means those four characters.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) node: Node,
}

impl Node {
    /// The value without lines, keys in order: equal for two nodes that mean the same.
    pub(crate) fn canonical(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::canonical).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.canonical()))
                .collect(),
        }
    }
}

/// Reads `path`; what cannot be read is a problem.
pub(crate) fn read(path: &Path, problems: &mut Problems) -> Option<String> {
    let whole_file = Place::whole_file();
    match std::fs::metadata(path).map(|metadata| metadata.len()) {
        Ok(length) if length > MAX_FILE_BYTES => {
            let limit = MAX_FILE_BYTES / 1024;
            problems.report(
                &whole_file,
                format!("is larger than {limit} KiB"),
                "Is it the right file?",
            );
            return None;
        }
        Ok(_) => {}
        Err(error) => {
            problems.report(&whole_file, format!("cannot be read: {error}"), "");
            return None;
        }
    }
    std::fs::read_to_string(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                problems.report(&whole_file, "is not UTF-8 text", "Save it as UTF-8");
            }
            _ => problems.report(&whole_file, format!("cannot be read: {error}"), ""),
        })
        .ok()
}

/// Parses one YAML document (JSON is YAML too).
pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let source = separate_alias_keys(text);
    // Duplicates are passed through so that `Node::entries` reports all of them. A tag would swallow what follows the `!`
    // of an unquoted condition.
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        reject_unsupported_tags: true,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&source, options) {
        Ok(root) => Some(Node::new(root, &source)),
        Err(error) => {
            let line = error.location().map_or(0, |location| location.line());
            let error = error.without_snippet();
            let what = match error {
                serde_saphyr::Error::MultipleDocuments { .. } => {
                    "holds more than one YAML document".to_owned()
                }
                error => format!("is not valid YAML: {}", first_line(&error.to_string())),
            };
            problems.report(&Place::whole_file().on_line(line), what, QUOTING);
            None
        }
    }
}

/// What to look for when YAML is wrong.
const QUOTING: &str =
    "Indent with spaces, and put a value in '…' if it begins with a quote or one of ! & * { [, or holds `: `";

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Rewrites a key `*name:` to `*name :`. In YAML 1.2 the colon may belong to the alias's name, so that the parser
/// does not know `name:`; Fulcio's own file is written for parsers that end the name there.
fn separate_alias_keys(text: &str) -> String {
    let mut source = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match alias_key(line) {
            Some((before, after)) => {
                source.push_str(before);
                source.push(' ');
                source.push_str(after);
            }
            None => source.push_str(line),
        }
    }
    source
}

/// The line cut before the colon if it begins with an alias used as a key.
fn alias_key(line: &str) -> Option<(&str, &str)> {
    if !line.trim_start().starts_with('*') {
        return None;
    }
    let (before, after) = line.split_once(':')?;
    let key = !before.trim_start().contains(char::is_whitespace);
    let ends = after.is_empty() || after.starts_with(char::is_whitespace);
    (key && ends).then(|| line.split_at(before.len()))
}

/// What serde sees, before lines and source texts are attached.
enum Raw {
    Null,
    /// Its source text is wanted rather than its value.
    Plain,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

impl Node {
    fn new(raw: Spanned<Raw>, source: &str) -> Self {
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Plain => Value::Scalar(spelling(raw.defined, source)),
            Raw::Text(text) => Value::Scalar(text),
            Raw::List(list) => Value::List(list.into_iter().map(|item| Self::new(item, source)).collect()),
            Raw::Map(map) => Value::Map(
                map.into_iter()
                    .map(|(key, node)| Entry {
                        line: key.referenced.line(),
                        key: key.value,
                        node: Self::new(node, source),
                    })
                    .collect(),
            ),
        };
        Self {
            line: raw.referenced.line(),
            value,
        }
    }
}

/// A number or boolean as the file spells it.
fn spelling(location: Location, source: &str) -> String {
    let span = location.span();
    let range = || {
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        source.get(start..start.checked_add(length)?)
    };
    range().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;

//! JSON as a signed document must be read: one object, no key twice, nothing after it.
//!
//! A duplicate key is read differently by different parsers (RFC 8259 section 4), so that a token could
//! mean one thing to its issuer and another to us; RFC 7515 section 4 and RFC 7519 section 4 allow refusing it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::Quoted;

/// How deep objects and arrays may nest; claims of known issuers nest four deep.
pub(super) const MAX_DEPTH: usize = 32;

/// Parses `bytes` as one JSON object in UTF-8.
///
/// # Errors
/// Anything else: another type, bad syntax, a key that occurs twice at any depth, more than [`MAX_DEPTH`]
/// levels, a number beyond `f64`, data after the object.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let object = deserializer.deserialize_map(ObjectVisitor { depth: 1 })?;
    deserializer.end()?;
    Ok(object)
}

/// Parses `text` as the value of a member of an object that [`parse_object`] would parse.
///
/// # Errors
/// As there. The text of the error repeats nothing but the name of a member that occurs twice.
pub(super) fn parse_member(text: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { depth: 1 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct ObjectVisitor {
    depth: usize,
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let key = Quoted::new(&key);
                return Err(A::Error::custom(format_args!("the member {key} occurs twice")));
            }
            let value = entries.next_value_seed(ValueSeed { depth: self.depth })?;
            object.insert(key, value);
        }
        Ok(object)
    }
}

/// A value inside `depth` levels of objects and arrays.
#[derive(Clone, Copy)]
struct ValueSeed {
    depth: usize,
}

impl ValueSeed {
    fn deeper<E: Error>(self) -> Result<usize, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(self.depth.saturating_add(1))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let seed = Self {
            depth: self.deeper()?,
        };
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(seed)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        ObjectVisitor { depth }.visit_map(entries).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object of exactly `depth` levels, the inner ones arrays.
    fn nested(depth: usize) -> String {
        let inner = depth.saturating_sub(1);
        format!(r#"{{"a":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
    }

    #[test]
    fn an_object_reads_as_serde_json_reads_it() {
        let text = r#" {"a":[1,-2,2.5,"x\u0041",true,null,{"b":{}}],"c":18446744073709551615} "#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(parse_object(text.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn nesting_is_bounded() {
        parse_object(nested(MAX_DEPTH).as_bytes()).unwrap();
        parse_object(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        parse_object(nested(100_000).as_bytes()).unwrap_err();
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        let refused: &[&[u8]] = &[
            b"",
            b"[]",
            b"\"x\"",
            b"null",
            b"{",
            b"{} {}",
            b"{}x",
            b"{}\0",
            b"\xef\xbb\xbf{}",
            br#"{"a":1,"a":1}"#,
            br#"{"a":1,"\u0061":2}"#,
            br#"{"a":[{"b":{"c":1,"c":2}}]}"#,
            br#"{"a":1e400}"#,
            br#"{"a":NaN}"#,
            br#"{"a":"\ud800"}"#,
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\n\"}",
            br#"{"a":1,}"#,
            br#"{"a":01}"#,
        ];
        for bytes in refused {
            assert!(parse_object(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}

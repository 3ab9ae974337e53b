//! Reading of one record: its fields by path, without a tree in between.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::formats::values::Cell;

/// The deepest nesting of objects: deeper paths are no columns.
const DEEPEST: usize = 32;

/// Takes a field: its path and its value.
type Put<'a> = dyn FnMut(&str, Cell) -> Result<(), String> + 'a;

/// Reads a record, and calls `put` for each of its fields. Arrays are texts, as JSON.
///
/// # Errors
/// The fault of the text, as a phrase that follows "line 7".
pub(super) fn read_record(text: &[u8], put: &mut Put<'_>) -> Result<(), String> {
    if std::str::from_utf8(text).is_err() {
        return Err("is no text in UTF-8".to_owned());
    }
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err("holds no JSON object".to_owned());
    }
    let mut fault = None;
    let mut path = String::new();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let seed = Value { path: &mut path, depth: 0, put, fault: &mut fault };
    let read = seed.deserialize(&mut reader).and_then(|()| reader.end());
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            Err(format!("is no JSON object ({what} at column {})", error.column()))
        }
    }
}

/// A value at a path.
struct Value<'a, 'p> {
    path: &'a mut String,
    depth: usize,
    put: &'a mut Put<'p>,
    fault: &'a mut Option<String>,
}

impl Value<'_, '_> {
    fn cell<E: Error>(self, cell: Cell) -> Result<(), E> {
        (self.put)(self.path, cell).map_err(|fault| {
            *self.fault = Some(fault);
            E::custom("")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.cell(Cell::Missing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.cell(Cell::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.cell(Cell::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.cell(i64::try_from(value).map_or(Cell::Unsigned(value), Cell::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.cell(Cell::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.cell(Cell::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut all: Vec<serde_json::Value> = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        let text = serde_json::Value::Array(all).to_string();
        self.cell(Cell::Text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let length = self.path.len();
        while let Some(key) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.depth == DEEPEST {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            self.path.truncate(length);
            if self.depth > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            fields.next_value_seed(Value {
                path: self.path,
                depth: self.depth + 1,
                put: self.put,
                fault: self.fault,
            })?;
        }
        self.path.truncate(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<Vec<(String, Cell)>, String> {
        let mut out = Vec::new();
        read_record(text.as_bytes(), &mut |path, cell| {
            out.push((path.to_owned(), cell));
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn nested_fields_are_named_by_path() {
        let found = fields(r#"{"id": 7, "at": {"y": 2.5, "in": {"z": null}}, "tags": ["a", 1], "on": true}"#);
        let text = |t: &str| Cell::Text(t.to_owned());
        let expected = [
            ("id", Cell::Integer(7)),
            ("at.y", Cell::Float(2.5)),
            ("at.in.z", Cell::Missing),
            ("tags", text("[\"a\",1]")),
            ("on", Cell::Boolean(true)),
        ];
        assert_eq!(found.unwrap(), expected.map(|(path, cell)| (path.to_owned(), cell)));
        assert_eq!(fields(r#"{"k\"x": "a\nb"}"#).unwrap(), [("k\"x".to_owned(), text("a\nb"))]);
        assert_eq!(fields(r#"{"n": 18446744073709551615}"#).unwrap()[0].1, Cell::Unsigned(u64::MAX));
    }

    #[test]
    fn faults_name_their_column() {
        for (text, fault) in [
            (r#"{"id": 7,"#, "is no JSON object (EOF while parsing a value at column 9)"),
            (r#"[1, 2]"#, "holds no JSON object"),
            (r#"{"a": 1} x"#, "is no JSON object (trailing characters at column 10)"),
        ] {
            assert_eq!(fields(text).unwrap_err(), fault);
        }
        let twice = read_record(br#"{"a": 1}"#, &mut |path, _| Err(format!("has {path}")));
        assert_eq!(twice.unwrap_err(), "has a");
    }
}

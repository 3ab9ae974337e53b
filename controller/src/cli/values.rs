//! Values of arguments, from the command line and from a run file.

use stagger_model::sizes::parse_size;
use toml::Value;

/// `true` or `false` as R, Python and TOML write them, and the words and digits that people type in their place; anything else is
/// no boolean.
pub(crate) fn boolean_word(word: &str) -> Option<bool> {
    match word {
        "true" | "TRUE" | "True" | "T" | "yes" | "YES" | "Yes" | "on" | "ON" | "On" | "1" => Some(true),
        "false" | "FALSE" | "False" | "F" | "no" | "NO" | "No" | "off" | "OFF" | "Off" | "0" => Some(false),
        _ => None,
    }
}

/// Value of a `--flag=…`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    boolean_word(text).ok_or_else(|| "expected true or false".to_owned())
}

/// A number; `Inf` and `-Inf` as in R.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if !value.is_nan() => Ok(value),
        _ => Err("expected a number".to_owned()),
    }
}

/// Two event times and all between: `0..3`, `-4..-1`.
pub(crate) fn span(text: &str) -> Result<(f64, f64), String> {
    let wrong = || "expected FIRST..LAST, as in 0..3 or -4..-1".to_owned();
    let (first, last) = text.split_once("..").or_else(|| text.split_once(':')).ok_or_else(wrong)?;
    let (first, last) = (number(first).map_err(|_| wrong())?, number(last).map_err(|_| wrong())?);
    if first <= last { Ok((first, last)) } else { Err(format!("{first} is after {last}")) }
}

/// A whole number, also written `1e6`.
pub(crate) fn whole(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(value) = text.parse::<u64>() {
        return Ok(value);
    }
    // Below 2^53 every whole number is exact in a double.
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value == value.trunc() && value < 9_007_199_254_740_992.0 => {
            Ok(value as u64)
        }
        _ => Err("expected a whole number that is not negative".to_owned()),
    }
}

/// A whole number of at least one.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match whole(text) {
        Ok(value) if value >= 1 => usize::try_from(value).map_err(|_| "too large".to_owned()),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

/// Threads beyond which a process is not quicker anywhere.
const MOST_THREADS: u64 = 4096;

/// A number of threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    let wrong = || format!("expected a whole number from 1 to {MOST_THREADS}");
    let value = whole(text).map_err(|_| wrong())?;
    if (1..=MOST_THREADS).contains(&value) {
        usize::try_from(value).map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

/// Reads a run file's value as a number of threads.
pub(crate) fn toml_threads(value: &Value) -> Result<usize, String> {
    toml_positive(value)
        .and_then(|value| threads(&value.to_string()).map_err(|reason| format!("is {value}: {reason}")))
}

/// The program takes as much itself, whatever it is to do.
const LEAST_MEMORY: u64 = 16_000_000;

/// A size in bytes: `1GB`, `512 MiB`, `2e9`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        bytes if bytes < LEAST_MEMORY => Err(format!(
            "{bytes} bytes are less than the program itself takes, 16MB; expected a size such as 1GB or 512MiB"
        )),
        bytes => Ok(bytes),
    }
}

/// Reads a run file's value as a size in bytes.
pub(crate) fn toml_size(value: &Value) -> Result<u64, String> {
    match value {
        Value::Integer(bytes) if *bytes > 0 => size(&bytes.to_string())
            .map_err(|_| format!("must be a size such as \"1GB\", not {}", shown(value))),
        Value::String(text) => {
            size(text).map_err(|_| format!("must be a size such as \"1GB\", not {}", shown(value)))
        }
        other => Err(format!("must be a size such as \"1GB\", not {}", shown(other))),
    }
}

/// A name, without the blanks that `a, b` leaves around it.
pub(crate) fn name(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}

/// Reads a run file's value as a boolean.
pub(crate) fn toml_boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(*value),
        other => Err(format!("must be true or false, not {}", shown(other))),
    }
}

/// Reads a run file's value as text.
pub(crate) fn toml_text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("must be a text in quotes, not {}", shown(other))),
    }
}

/// Reads a run file's value as a list of texts, or one text with commas.
pub(crate) fn toml_texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::Array(items) => items.iter().map(toml_text).collect(),
        other => Err(format!("must be a list of texts, not {}", shown(other))),
    }
}

/// Reads a run file's value as paths: one or a list. Commas are part of a path.
pub(crate) fn toml_paths(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        other => toml_texts(other),
    }
}

/// Reads a run file's value as a number.
pub(crate) fn toml_number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Integer(value) => Ok(*value as f64),
        Value::Float(value) if !value.is_nan() => Ok(*value),
        other => Err(format!("must be a number, not {}", shown(other))),
    }
}

/// Reads a run file's value as a whole number that is not negative.
pub(crate) fn toml_whole(value: &Value) -> Result<u64, String> {
    match value {
        Value::Integer(value) if *value >= 0 => Ok(*value as u64),
        // 1e6 is a float to TOML.
        Value::Float(value) => whole(&value.to_string())
            .map_err(|_| format!("must be a whole number that is not negative, not {value}")),
        other => Err(format!("must be a whole number that is not negative, not {}", shown(other))),
    }
}

/// Reads a run file's value as a whole number of at least one.
pub(crate) fn toml_positive(value: &Value) -> Result<usize, String> {
    match value {
        Value::Integer(value) if *value >= 1 => {
            usize::try_from(*value).map_err(|_| "is too large".to_owned())
        }
        other => Err(format!("must be a whole number of at least 1, not {}", shown(other))),
    }
}

/// Returns a value of the file as messages show it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_words_only() {
        for word in ["true", "TRUE", "True", "T", "yes", "on", "1"] {
            assert_eq!(boolean_word(word), Some(true));
        }
        for word in ["false", "FALSE", "False", "F", "no", "off", "0"] {
            assert_eq!(boolean_word(word), Some(false));
        }
        for word in ["2", "maybe", "panel.parquet", "", "tRue"] {
            assert_eq!(boolean_word(word), None);
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number("-3"), Ok(-3.0));
        assert_eq!(number("-Inf"), Ok(f64::NEG_INFINITY));
        assert!(number("nan").is_err());
        assert_eq!(whole("1e6"), Ok(1_000_000));
        assert_eq!(whole("18446744073709551615"), Ok(u64::MAX));
        assert!(whole("-1").is_err());
        assert!(whole("1.5").is_err());
        assert!(positive("0").is_err());
        assert_eq!((threads("2"), threads("4096")), (Ok(2), Ok(4096)));
        for wrong in ["0", "4097", "18446744073709551615", "two"] {
            assert!(threads(wrong).unwrap_err().contains("1 to 4096"), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(size("2e9"), Ok(2_000_000_000));
        assert_eq!(toml_size(&Value::String("512mb".into())), Ok(512_000_000));
        for wrong in ["", "GB", "-1GB", "1XB", "0", "8", "15MB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn file_values_name_what_they_are_not() {
        assert_eq!(
            toml_boolean(&Value::String("yes".into())),
            Err("must be true or false, not \"yes\"".to_owned())
        );
        assert_eq!(toml_texts(&Value::String("a, b".into())), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(toml_number(&Value::Integer(1)), Ok(1.0));
    }
}

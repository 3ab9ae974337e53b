//! Display of texts from data, file names, journals and manifests in a terminal, a log or a report. Control characters
//! in them, which could set titles, erase lines or type answers, are made visible. No other place does this.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns the text with every control character, except line ends and tabs, as `\x1b` or `\u{202e}`.
///
/// Control characters are those of ASCII and Latin-1, the marks that reverse the direction of text, and the separators
/// of lines and paragraphs.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        let code = u32::from(letter);
        // Writing to a string can't fail.
        let _ = match is_obeyed(letter) {
            false => out.write_char(letter),
            true if code < 0x100 => write!(out, "\\x{code:02x}"),
            true => write!(out, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(out)
}

/// Returns a line of JSON with the same characters as JSON escapes; the writer has escaped those of ASCII already.
pub fn printable_json(line: &str) -> Cow<'_, str> {
    if !line.chars().any(is_obeyed) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 16);
    for letter in line.chars() {
        let _ = match is_obeyed(letter) {
            false => out.write_char(letter),
            true => write!(out, "\\u{:04x}", u32::from(letter)),
        };
    }
    Cow::Owned(out)
}

/// Returns `true` if a terminal may interpret a character instead of showing it.
fn is_obeyed(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => true,
        _ => letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        let text = "a\u{1b}]0;owned\u{7}b\rc\u{9b}2Jd\u{7f}e\u{202e}f\u{0}";
        assert_eq!(printable(text), r"a\x1b]0;owned\x07b\x0dc\x9b2Jd\x7fe\u{202e}f\x00");
        assert!(printable(text).chars().all(|letter| !is_obeyed(letter)));
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let text = "région\t1\nПериод 期間 − ±";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn json_stays_json_and_means_the_same() {
        let value = serde_json::json!({ "name": "a\u{1b}\u{7f}\u{9b}\u{202e}\u{85}é" });
        let line = printable_json(&value.to_string()).into_owned();
        assert!(line.chars().all(|letter| !letter.is_control()), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}

//! Detection of a CSV file's separator and quotes from its first lines.

use stagger_model::csv_options::CsvOptions;

use super::records::{Dialect, Records};

/// The separators that are tried, the likeliest first.
const DELIMITERS: [u8; 5] = [b',', b';', b'\t', b'|', b' '];
/// The number of records that are examined.
const LOOKED_AT: usize = 50;

/// Returns separator and quotes of a file that starts with `head`, whose last line may be incomplete. `tabs` is `true`
/// if the file's name promises tabs.
pub(super) fn detect(head: &[u8], options: &CsvOptions, tabs: bool) -> Dialect {
    let quote = quote(head);
    if let Some(delimiter) = options.delimiter.and_then(|c| u8::try_from(c).ok()) {
        return Dialect { delimiter, quote };
    }
    let first = if tabs { b'\t' } else { b',' };
    let others = DELIMITERS.iter().copied().filter(|&d| d != first);
    let mut best = (0, Dialect { delimiter: first, quote });
    for delimiter in std::iter::once(first).chain(others) {
        let marks = Dialect { delimiter, quote };
        let (names, fits) = look(head, marks);
        // A separator that occurs equally often in every line counts most, then one that yields more names.
        let score = match (names, fits) {
            (0 | 1, _) => 0,
            (names, true) if delimiter != b' ' => 1_000_000 + names,
            (names, true) => 1_000 + names,
            (names, false) if delimiter != b' ' => names,
            _ => 0,
        };
        if score > best.0 {
            best = (score, marks);
        }
    }
    best.1
}

/// Returns the number of fields of the first record, and `true` if the next records have the same number.
fn look(head: &[u8], marks: Dialect) -> (usize, bool) {
    let mut records = Records::new(head, marks, 0);
    let mut counts = Vec::new();
    while counts.len() < LOOKED_AT && matches!(records.next(), Ok(true)) {
        counts.push(records.fields.len());
    }
    // The last record may be incomplete.
    if counts.len() > 2 && counts.len() < LOOKED_AT {
        counts.pop();
    }
    let names = counts.first().copied().unwrap_or(0);
    (names, counts.iter().all(|count| *count == names))
}

/// Returns the quote character: single quotes if the first name stands in them.
fn quote(head: &[u8]) -> u8 {
    let line = head.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let names = |quote: u8| line.iter().filter(|byte| **byte == quote).count();
    if line.first() == Some(&b'\'') && names(b'\'') >= 2 && names(b'"') == 0 { b'\'' } else { b'"' }
}

/// Returns the character that seems to separate the names of a header with one field.
pub(super) fn likely_separator(line: &str) -> Option<char> {
    let marks = line.chars().filter(|c| c.is_ascii_punctuation() && !"_.\"'()[]".contains(*c));
    let mut counts: Vec<(usize, char)> = Vec::new();
    for mark in marks {
        match counts.iter_mut().find(|(_, known)| *known == mark) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, mark)),
        }
    }
    counts.into_iter().max_by_key(|(count, _)| *count).map(|(_, mark)| mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(head: &str) -> char {
        char::from(detect(head.as_bytes(), &CsvOptions::default(), false).delimiter)
    }

    #[test]
    fn separators_are_found() {
        assert_eq!(found("id,t,y\n1,2,0.5\n1,3,0.7\n"), ',');
        assert_eq!(found("id;t;y\n1;2;0,5\n1;3;0,7\n"), ';');
        assert_eq!(found("id;t,q;y\n1;2,5;0,5\n1;3,5;0,7\n"), ';');
        assert_eq!(found("id|t|y\n1|2|0.5\n"), '|');
        assert_eq!(found("id\tname of it\ty\n1\ta b\t0.5\n"), '\t');
        assert_eq!(found("id t   y\n1 2 0.5\n1  3 0.7\n"), ' ');
        assert_eq!(found("\"a;b\",c\n1,2\n"), ',');
        assert_eq!(found("only\n1\n2\n"), ',');
        assert_eq!(found("first name,y\nx y,1\nz w,2\n"), ',');
        let single = detect(b"'id','y'\n1,2\n", &CsvOptions::default(), false);
        assert_eq!(single, Dialect { delimiter: b',', quote: b'\'' });
        assert_eq!(detect(b"a\tb\n1\t2\n", &CsvOptions::default(), true).delimiter, b'\t');
        assert_eq!(likely_separator("id:t:g:y"), Some(':'));
    }
}

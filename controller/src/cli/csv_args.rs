//! Arguments that say how CSV files are written; what is not said is found by looking.

use clap::Args;
use stagger_model::csv_options::{CsvOptions, Encoding};
use stagger_model::failure::Failure;

use super::spec::non_empty;
use super::values::{toml_text, toml_texts};

/// How CSV files are written.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "CSV files")]
pub(crate) struct CsvArgs {
    /// What separates fields: a character, comma, semicolon, tab, pipe or blank [default: found by looking]
    #[arg(long, value_name = "SEPARATOR", allow_hyphen_values = true)]
    pub(crate) csv_delimiter: Option<String>,
    /// What stands before decimals: a point or a comma [default: found by looking; a point between commas]
    #[arg(long, value_name = "MARK")]
    pub(crate) csv_decimal: Option<String>,
    /// utf-8, utf-16le, utf-16be or latin1 (windows-1252) [default: by the file's mark, else utf-8]
    #[arg(long, value_name = "ENCODING")]
    pub(crate) csv_encoding: Option<String>,
    /// Texts that are missing values in every column, separated by commas [default: NA, NaN, NULL and . among numbers]
    #[arg(long, value_name = "TEXTS", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) csv_na: Option<Vec<String>>,
}

impl CsvArgs {
    /// Keys of a run file.
    pub(crate) const KEYS: &[&str] = &["csv_delimiter", "csv_decimal", "csv_encoding", "csv_na"];

    /// Sets the argument from a run file's value; `None` where the key belongs to another group.
    pub(crate) fn set(&mut self, key: &str, value: &toml::Value) -> Option<Result<(), String>> {
        let text = |slot: &mut Option<String>| Some(toml_text(value).map(|text| *slot = Some(text)));
        match key {
            "csv_delimiter" => text(&mut self.csv_delimiter),
            "csv_decimal" => text(&mut self.csv_decimal),
            "csv_encoding" => text(&mut self.csv_encoding),
            "csv_na" => Some(toml_texts(value).map(|texts| self.csv_na = Some(texts))),
            _ => None,
        }
    }

    /// These arguments, and those of `under` where none is given here.
    pub(crate) fn over(self, under: Self) -> Self {
        Self {
            csv_delimiter: self.csv_delimiter.or(under.csv_delimiter),
            csv_decimal: self.csv_decimal.or(under.csv_decimal),
            csv_encoding: self.csv_encoding.or(under.csv_encoding),
            csv_na: self.csv_na.or(under.csv_na),
        }
    }

    /// The options as a specification has them.
    pub(crate) fn options(&self) -> Result<CsvOptions, Failure> {
        let options = CsvOptions {
            // A blank or a tab is a separator, not an argument that is taken back.
            delimiter: self
                .csv_delimiter
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(delimiter)
                .transpose()?,
            decimal: non_empty(&self.csv_decimal).map(|text| decimal(&text)).transpose()?,
            encoding: non_empty(&self.csv_encoding).map(|text| encoding(&text)).transpose()?,
            na: self.csv_na.clone().map(|texts| texts.into_iter().filter(|text| !text.is_empty()).collect()),
        };
        match (options.delimiter, options.decimal) {
            (Some(delimiter), Some(decimal)) if delimiter == decimal => {
                Err(Failure::input(format!("csv_delimiter and csv_decimal are both \"{decimal}\""))
                    .hint("files with decimal commas mostly have --csv-delimiter ';'"))
            }
            _ => Ok(options),
        }
    }
}

fn delimiter(text: &str) -> Result<char, Failure> {
    let named = match text {
        "comma" => Some(','),
        "semicolon" => Some(';'),
        "tab" | "\\t" => Some('\t'),
        "pipe" => Some('|'),
        "blank" | "space" => Some(' '),
        _ => None,
    };
    let mut letters = text.chars();
    let only =
        letters.next().filter(|c| letters.next().is_none() && c.is_ascii() && !"\"\r\n\0".contains(*c));
    named.or(only).ok_or_else(|| {
        Failure::input(format!("csv_delimiter must be one ASCII character or its name; received \"{text}\""))
            .hint("comma, semicolon, tab, pipe and blank are names: --csv-delimiter tab")
    })
}

fn decimal(text: &str) -> Result<char, Failure> {
    match text {
        "." | "point" => Ok('.'),
        "," | "comma" => Ok(','),
        _ => Err(Failure::input(format!("csv_decimal must be \".\" or \",\"; received \"{text}\""))),
    }
}

fn encoding(text: &str) -> Result<Encoding, Failure> {
    Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => Encoding::Utf8,
        "utf-16le" | "utf16le" => Encoding::Utf16Le,
        "utf-16be" | "utf16be" => Encoding::Utf16Be,
        "latin1" | "latin-1" | "iso-8859-1" | "windows-1252" | "cp1252" => Encoding::Latin1,
        _ => {
            return Err(Failure::input(format!(
                "csv_encoding must be one of \"utf-8\", \"utf-16le\", \"utf-16be\", or \"latin1\"; received \"{text}\""
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(delimiter: &str, decimal: &str, encoding: &str) -> Result<CsvOptions, String> {
        let some = |text: &str| Some(text.to_owned());
        let args = CsvArgs {
            csv_delimiter: some(delimiter),
            csv_decimal: some(decimal),
            csv_encoding: some(encoding),
            csv_na: None,
        };
        args.options().map_err(|failure| failure.to_string())
    }

    #[test]
    fn names_and_characters() {
        let found = options("tab", ",", "windows-1252").unwrap();
        assert_eq!((found.delimiter, found.decimal), (Some('\t'), Some(',')));
        assert_eq!(found.encoding, Some(Encoding::Latin1));
        assert_eq!(options(" ", "", "").unwrap().delimiter, Some(' '));
        assert!(options("", "", "").unwrap().is_default());
    }

    #[test]
    fn refusals_say_what_is_possible() {
        let all = [
            options(";;", "", ""),
            options("ü", "", ""),
            options(",", ",", ""),
            options("", "x", ""),
            options("", "", "ebcdic"),
        ];
        let all: Vec<String> = all.into_iter().map(|found| found.expect_err("refused")).collect();
        insta::assert_snapshot!(all.join(""), @r#"
        error: csv_delimiter must be one ASCII character or its name; received ";;"
        hint: comma, semicolon, tab, pipe and blank are names: --csv-delimiter tab
        error: csv_delimiter must be one ASCII character or its name; received "ü"
        hint: comma, semicolon, tab, pipe and blank are names: --csv-delimiter tab
        error: csv_delimiter and csv_decimal are both ","
        hint: files with decimal commas mostly have --csv-delimiter ';'
        error: csv_decimal must be "." or ","; received "x"
        error: csv_encoding must be one of "utf-8", "utf-16le", "utf-16be", or "latin1"; received "ebcdic"
        "#);
    }
}

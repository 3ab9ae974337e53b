//! Expressions against the values that R gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use stagger_model::csv_options::ColumnRole;

use super::Expression;
use super::functions;

/// Three rows, the last of which is missing.
fn batch() -> RecordBatch {
    let columns: [(&str, ArrayRef); 5] = [
        ("n", Arc::new(Int64Array::from(vec![Some(7), Some(-2), None]))),
        ("x", Arc::new(Float64Array::from(vec![Some(1.5), Some(-0.5), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("Ab c"), Some("12"), None]))),
        ("d", Arc::new(Date32Array::from(vec![Some(0), Some(18_322), None]))),
        ("odd name", Arc::new(Int64Array::from(vec![1, 2, 3]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

/// Returns the values of all rows as text, `NA` where they are missing.
fn values(text: &str) -> Vec<String> {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let found = expression.evaluate(&batch()).unwrap_or_else(|error| panic!("{text}: {error}"));
    functions::shown(&found).into_iter().map(|text| text.unwrap_or_else(|| "NA".to_owned())).collect()
}

fn refused(text: &str) -> String {
    match Expression::parse(text).and_then(|expression| expression.evaluate(&batch())) {
        Ok(found) => panic!("{text} is {found:?}"),
        Err(error) => format!("{error}\nhint: {}", error.hint().unwrap_or_default()),
    }
}

#[test]
fn values_are_those_of_r() {
    for (text, expected) in [
        ("n + 1L", "8 -1 NA"),
        ("n / 2", "3.5 -1 NA"),
        ("n %% 4L", "3 2 NA"),
        ("n %/% 4L", "1 -1 NA"),
        ("-2^2", "-4 -4 -4"),
        ("2^-1", "0.5 0.5 0.5"),
        ("2^3^2", "512 512 512"),
        ("-n %% 3L", "2 2 NA"),
        ("x > 0 & n > 0", "TRUE FALSE NA"),
        ("x > 0 | TRUE", "TRUE TRUE TRUE"),
        ("is.na(x) | n > 0", "TRUE FALSE TRUE"),
        ("FALSE & NA", "FALSE FALSE FALSE"),
        ("!x > 0", "FALSE TRUE NA"),
        ("n == 7", "TRUE FALSE NA"),
        ("s != \"12\"", "TRUE FALSE NA"),
        ("s %in% c(\"12\", NA)", "FALSE TRUE TRUE"),
        ("n %in% c(7, 8)", "TRUE FALSE FALSE"),
        ("ifelse(x > 0, \"up\", \"down\")", "up down NA"),
        ("ifelse(is.na(x), 0, n)", "7 -2 0"),
        ("coalesce(n, 0L)", "7 -2 0"),
        ("coalesce(s, \"none\")", "Ab c 12 none"),
        ("pmin(n, 3L)", "3 -2 NA"),
        ("pmax(x, 0, na.rm = TRUE)", "1.5 0 0"),
        ("abs(n)", "7 2 NA"),
        ("round(x)", "2 0 NA"),
        ("floor(x)", "1 -1 NA"),
        ("sqrt(4) + log(1) + exp(0)", "3 3 3"),
        ("log(8, base = 2)", "3 3 3"),
        ("as.integer(\"12.7\")", "12 12 12"),
        ("as.numeric(s)", "NA 12 NA"),
        ("as.character(n)", "7 -2 NA"),
        ("year(d)", "1970 2020 NA"),
        ("month(d)", "1 3 NA"),
        ("quarter(d) * 10 + week(d)", "11 19 NA"),
        ("d >= \"2000-01-01\"", "FALSE TRUE NA"),
        ("d + 1", "1970-01-02 2020-03-02 NA"),
        ("d - as.Date(\"1970-01-01\")", "0 18322 NA"),
        ("year(as.Date(\"01022006\", \"%m%d%Y\"))", "2006 2006 2006"),
        ("year(as.Date(1022006L, \"%m%d%Y\"))", "6 6 6"),
        ("substr(s, 2, 3)", "b  2 NA"),
        ("paste0(s, \"-\", n)", "Ab c-7 12--2 NA-NA"),
        ("paste(n, 1, sep = \"/\")", "7/1 -2/1 NA/1"),
        ("tolower(trimws(\" A \"))", "a a a"),
        ("sprintf(\"%05.1f|%d|%s|%%\", x, n, s)", "001.5|7|Ab c|% -00.5|-2|12|%    NA|NA|NA|%"),
        ("grepl(\"^[0-9]+$\", s)", "FALSE TRUE FALSE"),
        ("grepl(\".\", s, fixed = TRUE)", "FALSE FALSE FALSE"),
        ("nchar(s)", "4 2 NA"),
        ("startsWith(s, \"A\")", "TRUE FALSE NA"),
        ("cut(x, c(-1, 0, 2))", "(0,2] (-1,0] NA"),
        ("cut(x, c(-1, 0, 2), labels = c(\"a\", \"b\"))", "b a NA"),
        ("`odd name` * 2", "2 4 6"),
        ("1e3 + .5 - 2L", "998.5 998.5 998.5"),
    ] {
        assert_eq!(values(text).join(" "), expected, "{text}");
    }
}

#[test]
fn faults_are_shown_below_the_text() {
    for (text, expected) in [
        ("staus == \"S\"", "there is no column `staus`\n  staus == \"S\"\n  ^^^^^"),
        ("x + yaer(d)", "there is no function yaer()\n  x + yaer(d)\n      ^^^^\nhint: did you mean year()?"),
        ("s + 1", "numbers are expected here, not text\n  s + 1\n  ^\nhint: as.numeric()"),
        ("s > n", "text can't be compared with whole numbers\n  s > n\n  ^^^^^"),
        (
            "x = 1",
            "an operator or the end is expected here\n  x = 1\n    ^\nhint: a comparison is written ==",
        ),
        ("1 < x < 2", "comparisons can't follow each other"),
        ("(x", "the expression ends where `)` is expected"),
        ("x +", "the expression ends where a value is expected"),
        ("ifelse(x > 0, 1)", "ifelse() needs 3 arguments: test, yes, no"),
        ("round(x, digit = 1)", "round() has no argument digit"),
        ("abs(x, 1)", "abs() has 1 arguments at most"),
        ("year(s)", "dates are expected here, not text"),
        ("grepl(\"(\", s)", "not a pattern"),
        ("as.Date(s, \"%Q\")", "as.Date() knows no %Q in a format"),
        ("ifelse(x > 0, 1, \"a\")", "can't stand beside"),
        ("9223372036854775807L + n", "9223372036854775807 + 7 exceeds 64 bits"),
        ("\"open", "the text has no closing \""),
        ("x $ y", "`$` has no meaning here"),
        ("c(x, n)", "c() combines constants, not columns"),
        ("", "the expression ends where a value is expected"),
    ] {
        let found = refused(text);
        assert!(found.contains(expected), "{text}:\n{found}");
    }
    assert!(refused(&"(".repeat(5000)).contains("nests too deeply"));
}

#[test]
fn types_do_not_depend_on_rows() {
    let none = super::no_rows(&batch().schema());
    for text in [
        "n + 1L",
        "s == \"a\"",
        "ifelse(x > 0, \"a\", NA)",
        "cut(x, c(0, 1))",
        "d + 1",
        "paste0(n, s)",
        "sprintf(\"%d\", n)",
    ] {
        let expression = Expression::parse(text).unwrap();
        let (empty, full) = (expression.array(&none).unwrap(), expression.array(&batch()).unwrap());
        assert_eq!((empty.len(), empty.data_type()), (0, full.data_type()), "{text}");
    }
    assert!(Expression::parse("s + 1").unwrap().array(&none).is_err());
}

#[test]
fn columns_have_the_use_that_the_expression_makes_of_them() {
    let mut columns = BTreeMap::new();
    let text = "a == \"S\" & b >= 2006 & year(as.Date(c, \"%m%d%Y\")) > 1 & d %in% c(\"x\") & paste0(e) == f & is.na(g)";
    Expression::parse(text).unwrap().add_columns(&mut columns);
    let level = |name: &str| columns[name] == ColumnRole::Level;
    assert_eq!(["a", "b", "c", "d", "e", "f", "g"].map(level), [true, false, true, true, true, true, false]);
}

//! Tests of the formulas that are refused, of the messages, and of the bounds.

use super::tests::Data;
use super::*;

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn refusals_name_token_and_position() {
    for (text, expected) in [
        ("", "the formula is empty"),
        ("x + z", "the formula must start with `~`, found `x` (position 1)"),
        ("y ~ x", "the left side `y` is not supported in xformla (position 1)"),
        ("~ bs(x1, df=4)", "function `bs` is not supported in xformla (position 3)"),
        ("~ x + splines::bs(x)", "operator `::` is not supported in xformla (position 14)"),
        ("~ I(bs(x))", "function `bs` is not supported in xformla (position 5)"),
        ("~ C(a)", "function `C` is not supported in xformla (position 3)"),
        ("~ a %in% b", "operator `%in%` is not supported in xformla (position 5)"),
        ("~ a/b", "operator `/` is not supported in xformla (position 4)"),
        ("~ a | b", "operator `|` is not supported in xformla (position 5)"),
        ("~ I(x > 1)", "operator `>` is not supported in xformla (position 7)"),
        ("~ .", "`.` is not supported in xformla (position 3)"),
        ("~ x +", "the formula ends too early (position 6), expected a term"),
        ("~ (x", "the formula ends too early (position 5), expected `)`"),
        ("~ x ~ y", "unexpected `~` (position 5), expected an operator or the end"),
        ("~ 2", "number `2` is not a term (position 3)"),
        ("~ x^2", "`^` needs a sum in parentheses on its left (position 3)"),
        ("~ (a+b)^x", "`^` needs a whole number from 2 to 100 on its right (position 9)"),
        ("~ (a+b)^1", "`^` needs a whole number from 2 to 100 on its right (position 9)"),
        ("~ -a:b", "a constant or a minus sign cannot take part in `:` (position 3)"),
        ("~ a*1", "a constant or a minus sign cannot take part in `*` (position 5)"),
        ("~ TRUE", "`TRUE` is a reserved word of R, not a column (position 3)"),
        ("~ `x", "the backtick name has no closing backtick (position 3)"),
        ("~ log(x, 2)", "function `log` takes one argument (position 3)"),
        ("~ factor(x > 1)", "function `factor` takes a column name and nothing else (position 3)"),
        ("~ factor(log(x))", "function `factor` takes a column name (position 3)"),
        ("~ poly(x, y)", "function `poly` takes a whole number from 1 to 20 as its degree (position 3)"),
        ("~ log(2)", "function `log` uses no column (position 3)"),
        ("~ 0", "the formula has neither a term nor an intercept"),
        ("~ x - x - 1", "the formula has neither a term nor an intercept"),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn refusals_of_the_design() {
    let error = |text: &str| parse(text).unwrap().design_with(&Data).unwrap_err();
    assert_eq!(error("~ log(a)").to_string(), "column `a` holds text and cannot be used in `log(a)`");
    assert_eq!(
        error("~ factor(zzz)").to_string(),
        "column `zzz` is used as a factor but its levels are not known"
    );
    assert_eq!(error("~ one").to_string(), "factor `one` needs 2 levels or more, it has 1");
    assert!(matches!(error("~ wide"), FormulaError::TooManyColumns { .. }));
    assert!(matches!(error("~ wide:a:b"), FormulaError::TooManyColumns { .. }));
}

#[test]
fn hints() {
    let hint = |text: &str| parse(text).unwrap_err().hint().unwrap_or_default();
    assert!(hint("~ bs(x)").contains("poly"));
    assert!(hint("~ a/b").contains("I(a / b)"));
    assert!(hint("~ x^2").contains("I(x^2)"));
    assert!(hint("~ TRUE").contains("backticks"));
    assert_eq!(hint("~ ("), "");
}

#[test]
fn bounds_hold() {
    let deep = |open: &str, close: &str| format!("~ {}x{}", open.repeat(5_000), close.repeat(5_000));
    for text in [
        deep("(", ")"),
        deep("-", ""),
        deep("I(", ")"),
        format!("~ I(x{})", "^x".repeat(5_000)),
        format!("~ I({}x)", "-".repeat(5_000)),
    ] {
        assert!(matches!(parse(&text), Err(FormulaError::TooDeep { .. })));
    }
    let chain = format!("~ I(x{})", "+x".repeat(5_000));
    assert!(matches!(parse(&chain), Err(FormulaError::TooComplex { .. })));
    let sum: Vec<String> = (0..300).map(|i| format!("x{i}")).collect();
    assert_eq!(parse(&format!("~ {}", sum.join("+"))).unwrap().term_labels().len(), 300);
    let power = format!("~ ({})^3", sum.join("+"));
    assert!(matches!(parse(&power), Err(FormulaError::TooManyTerms { .. })));
    let long = format!("~ {}", "x".repeat(100_000));
    assert!(matches!(parse(&long), Err(FormulaError::TooLong { .. })));
}

/// The slowest formulas that the bounds let through, or nearly.
#[test]
fn large_formulas_end_quickly() {
    let many = |count: usize, make: &dyn Fn(usize) -> String, join: &str| {
        let items: Vec<String> = (0..count).map(make).collect();
        format!("~ {}", items.join(join))
    };
    for text in [
        many(1_999, &|i| format!("poly(x{i},20,raw=T)"), "+"),
        many(1_999, &|i| format!("x{i}"), ":"),
        many(1_999, &|i| format!("x{i}"), "*"),
        many(900, &|i| format!("g:x{i}:z{i}"), "+"),
        many(60, &|i| format!("(a{i}+b{i}*c{i})^99"), "+"),
        many(5_000, &|i| format!("x{}", i % 1_000), "-"),
        many(3_000, &|i| format!("v{i}"), "+"),
    ] {
        if let Ok(formula) = parse(&text) {
            assert_eq!(parse(&formula.to_string()).as_ref(), Ok(&formula));
            formula.design_with(&Data).ok();
        }
    }
}

//! Properties over arbitrary text: no panic, and printing loses nothing.

use proptest::prelude::*;

use super::*;

fn levels(column: &str) -> Option<usize> {
    matches!(column, "a" | "b").then_some(3)
}

/// Exercises everything on a text; a formula that parses must survive printing.
fn exercise(text: &str) -> Result<(), TestCaseError> {
    let formula = match parse(text) {
        Ok(formula) => formula,
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            error.hint();
            return Ok(());
        }
    };
    let printed = formula.to_string();
    let again = parse(&printed);
    prop_assert_eq!(again.as_ref(), Ok(&formula), "{}", printed);
    for atom in formula.atoms() {
        if let Atom::Numeric(expr) = atom {
            expr.eval(&|name| name.len() as f64);
        }
    }
    if let Ok(design) = formula.design(&levels) {
        let atoms = formula.atoms().len();
        prop_assert!(design.columns.len() <= MAX_COLUMNS);
        for part in design.columns.iter().flat_map(|column| &column.parts) {
            let (Factor::Numeric(atom) | Factor::Level { atom, .. }) = *part;
            prop_assert!(atom < atoms);
        }
    }
    Ok(())
}

/// Tokens of the language in any order, so that much of it parses.
fn token_soup() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "a",
        "b",
        "x",
        "z",
        "`q r`",
        "0",
        "1",
        "2",
        "3.5",
        "1e3",
        "+",
        "-",
        ":",
        "*",
        "^",
        "(",
        ")",
        "I(",
        "log(",
        "factor(a)",
        "factor(x)",
        "poly(x, 2)",
        "poly(",
        ",",
        "raw = TRUE",
        "/",
        ".",
        "`",
        "~",
        "%in%",
        " ",
        "(a + x)^2",
        "I(x^2)",
    ]);
    prop::collection::vec(token, 0..14).prop_map(|tokens| format!("~{}", tokens.concat()))
}

/// Well-formed arithmetic.
fn arithmetic() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["x", "z", "2", "0.5", "`q r`"]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 2, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "^", "^-", "+-"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("{a}{o}{b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.prop_map(|a| format!("log({a})")),
        ]
    })
}

/// Well-formed sums, products and powers of terms.
fn terms() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["a", "b", "x", "z", "w", "factor(x)", "exp(z)"]).prop_map(str::to_owned),
        arithmetic().prop_map(|text| format!("I(x + ({text}))")),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let operator = prop::sample::select(vec![" + ", " - ", ":", "*", " + 0 + ", " - 1 - "]);
        prop_oneof![
            4 => (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("{a}{o}{b}")),
            1 => inner.clone().prop_map(|a| format!("({a})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})^2")),
            1 => inner.prop_map(|a| format!("(-{a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_text(text in "\\PC*") {
        exercise(&text)?;
        exercise(&format!("~{text}"))?;
    }

    #[test]
    fn any_tokens(text in token_soup()) {
        exercise(&text)?;
    }

    #[test]
    fn any_terms(text in terms()) {
        exercise(&format!("~ {text}"))?;
    }

    #[test]
    fn any_arithmetic(text in arithmetic()) {
        exercise(&format!("~ x + I({text})"))?;
    }

    /// The order of added terms changes neither the set of terms nor the size of the design.
    #[test]
    fn order_of_main_effects_keeps_the_width(order in Just(vec!["a", "x", "b", "z"]).prop_shuffle()) {
        let formula = parse(&format!("~ ({})^2", order.join(" + "))).unwrap();
        prop_assert_eq!(formula.design(&levels).unwrap().columns.len(), 20);
    }
}

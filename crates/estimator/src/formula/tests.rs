//! Known answers of R: `colnames(model.matrix(...))`, `terms`, `all.vars`.
//! In these tests `a` has levels 1 2 3, `b` has 1 2, `c` has 1 2 3; all are text, as is `g`.

use super::*;

pub(super) struct Data;

impl LevelSource for Data {
    fn count(&self, column: &str) -> Option<usize> {
        match column {
            "a" | "c" | "year" => Some(3),
            "b" | "g" => Some(2),
            "one" => Some(1),
            "wide" => Some(usize::MAX),
            _ => None,
        }
    }

    fn is_text(&self, column: &str) -> bool {
        matches!(column, "a" | "b" | "c" | "g" | "one" | "wide")
    }

    fn name(&self, _column: &str, level: usize) -> String {
        (level + 1).to_string()
    }
}

fn names(text: &str) -> Vec<String> {
    let design = parse(text).unwrap().design_with(&Data).unwrap();
    design.columns.into_iter().map(|column| column.name).collect()
}

/// `names` are separated by blanks, `_` stands for a blank inside a name.
fn check(text: &str, expected: &str) {
    let expected: Vec<String> = expected.split(' ').map(|n| n.replace('_', " ")).collect();
    assert_eq!(names(text), expected, "{text}");
}

#[test]
fn numeric_terms() {
    check("~1", "(Intercept)");
    check("~ x1 + x2", "(Intercept) x1 x2");
    check("~ x1*x2", "(Intercept) x1 x2 x1:x2");
    check("~ x - 1", "x");
    check("~ 0 + x1 + x2", "x1 x2");
    check("~ x + 0 + 1", "(Intercept) x");
    check("~ x - 0", "(Intercept) x");
    check("~ -1 + x", "x");
    check("~ x - (z - 1)", "(Intercept) x");
    check("~ log(x1) + x1:x2", "(Intercept) log(x1) x1:x2");
    check("~ I(x^2)", "(Intercept) I(x^2)");
    check("~ x2:x1 + x1", "(Intercept) x1 x2:x1");
    check("~ x1 + x2:x1", "(Intercept) x1 x1:x2");
    check("~ x1:x1 + x1", "(Intercept) x1");
    check("~ x1:x2 + x3", "(Intercept) x3 x1:x2");
    assert_eq!(names("~ `my col` + .y_1"), ["(Intercept)", "`my col`", ".y_1"]);
}

#[test]
fn poly_is_one_term_of_raw_powers() {
    check("~ poly(x, 2)", "(Intercept) poly(x,_2)1 poly(x,_2)2");
    check("~ 0 + poly(x, 2, raw=T)", "poly(x,_2,_raw_=_TRUE)1 poly(x,_2,_raw_=_TRUE)2");
    check("~ poly(x, 1)", "(Intercept) poly(x,_1)");
    check("~ z * poly(x, 2)", "(Intercept) z poly(x,_2)1 poly(x,_2)2 z:poly(x,_2)1 z:poly(x,_2)2");
    let formula = parse("~ x + poly(x, degree = 3, raw = TRUE)").unwrap();
    let texts: Vec<String> = formula.atoms().iter().map(|atom| format!("{atom:?}")).collect();
    assert_eq!(texts.len(), 3, "the first power is the column itself: {texts:?}");
    let design = formula.design(&|_| None).unwrap();
    assert_eq!(design.columns[2].parts, [Factor::Numeric(0)]);
    assert_eq!(design.columns[4].parts, [Factor::Numeric(2)]);
}

#[test]
fn orthogonal_poly_needs_its_margin() {
    for text in ["~ 0 + poly(x, 2)", "~ z:poly(x, 2)", "~ poly(x, 2) + g:poly(x, 2)"] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, FormulaError::OrthogonalPoly { .. }), "{text}");
        assert!(error.hint().unwrap().contains("raw = TRUE"));
    }
}

#[test]
fn factors_follow_rs_coding() {
    check("~ factor(a)", "(Intercept) factor(a)2 factor(a)3");
    check("~ 0 + factor(a)", "factor(a)1 factor(a)2 factor(a)3");
    check("~ 0 + a + b", "a1 a2 a3 b2");
    check("~ 0 + x + b", "x b1 b2");
    check("~ a + x", "(Intercept) a2 a3 x");
    check("~ a*b", "(Intercept) a2 a3 b2 a2:b2 a3:b2");
    check("~ 0 + a*b", "a1 a2 a3 b2 a2:b2 a3:b2");
    check("~ a:x", "(Intercept) a1:x a2:x a3:x");
    check("~ x + a:x", "(Intercept) x x:a2 x:a3");
    check("~ a + a:x", "(Intercept) a2 a3 a1:x a2:x a3:x");
    check("~ a*x", "(Intercept) a2 a3 x a2:x a3:x");
    check("~ a:b", "(Intercept) a1:b1 a2:b1 a3:b1 a1:b2 a2:b2 a3:b2");
    check("~ 0 + a:b", "a1:b1 a2:b1 a3:b1 a1:b2 a2:b2 a3:b2");
    check("~ a + a:b", "(Intercept) a2 a3 a1:b2 a2:b2 a3:b2");
    check("~ a*b - a", "(Intercept) b2 a2:b1 a3:b1 a2:b2 a3:b2");
    check("~ b + as.factor(year)", "(Intercept) b2 factor(year)2 factor(year)3");
    check("~ factor(year):x + year", "(Intercept) year factor(year)1:x factor(year)2:x factor(year)3:x");
}

#[test]
fn powers_of_sums() {
    let labels = |text: &str| parse(text).unwrap().term_labels().join(" ");
    assert_eq!(labels("~ (a+b+c)^2 - a:b"), "a b c a:c b:c");
    assert_eq!(labels("~ (a+b+c)^3"), "a b c a:b a:c b:c a:b:c");
    assert_eq!(labels("~ (a+b)**2"), "a b a:b");
    assert_eq!(labels("~ (a+b)^100"), "a b a:b");
    assert_eq!(labels("~ (x1 + x2):(a + b)"), "x1:a x1:b x2:a x2:b");
    assert_eq!(labels("~ a*b*c"), "a b c a:b a:c b:c a:b:c");
    assert_eq!(labels("~ (a - a)*b + c"), "c");
    assert_eq!(labels("~ a - a + a - b"), "a");
    check("~ (a + x)^2", "(Intercept) a2 a3 x a2:x a3:x");
    check("~ (a + b + g)^2 - a:b", "(Intercept) a2 a3 b2 g2 a2:g2 a3:g2 b2:g2");
}

#[test]
fn parts_number_atoms_and_levels() {
    let formula = parse("~ log(x):factor(year) + s").unwrap();
    let text = |column: &str| match column {
        "year" => Some(3),
        "s" => Some(2),
        _ => None,
    };
    let design = formula.design(&text).unwrap();
    assert_eq!(
        formula.atoms(),
        [
            Atom::Numeric(Expr::Call(Function::Log, Box::new(Expr::Column("x".into())))),
            Atom::Factor("year".into()),
            Atom::Numeric(Expr::Column("s".into())),
        ]
    );
    assert_eq!(design.columns.len(), 5);
    assert_eq!(design.columns[0].parts, []);
    assert_eq!(design.columns[1].name, "s#1");
    assert_eq!(design.columns[1].parts, [Factor::Level { atom: 2, level: 1 }]);
    assert_eq!(design.columns[4].parts, [Factor::Numeric(0), Factor::Level { atom: 1, level: 2 }]);
}

#[test]
fn names_columns() {
    let formula = parse("~ x2 + I(x1*x2) + factor(r) + poly(log(q), 2) - w + factor(r):z").unwrap();
    assert_eq!(formula.variables(), ["x2", "x1", "r", "q", "w", "z"]);
    assert_eq!(formula.factors(), ["r"]);
    assert!(formula.intercept());
}

#[test]
fn evaluates_arithmetic_as_r() {
    let row = |column: &str| match column {
        "x" => 3.0,
        "y" => -2.0,
        _ => f64::NAN,
    };
    let value = |text: &str| {
        let formula = parse(&format!("~ I({text})")).unwrap();
        match &formula.atoms()[0] {
            Atom::Numeric(expr) => expr.eval(&row),
            Atom::Factor(_) => panic!("not a number"),
        }
    };
    assert_eq!(value("-x^2"), -9.0);
    assert_eq!(value("x^2^y"), libm::pow(3.0, 0.25));
    assert_eq!(value("2^-x * 8"), 1.0);
    assert_eq!(value("x - y - 1"), 4.0);
    assert_eq!(value("x / y / 2"), -0.75);
    assert_eq!(value("(x + y) * 2.5e1"), 25.0);
    assert_eq!(value("abs(y) + sqrt(x + 1) + exp(x - 3) + log1p(x - 3)"), 5.0);
    assert_eq!(value("log2(x + 5) + log10(97 + x) + log(x - 2)"), 5.0);
    assert_eq!(value("y^3"), -8.0);
    assert_eq!(value("(x - 3)^-1"), f64::INFINITY);
    assert_eq!(value("missing^0"), 1.0);
    assert!(value("log(y)").is_nan());
    assert!(value("y^0.5").is_nan());
}

#[test]
fn prints_one_spelling() {
    for (text, printed) in [
        ("~x1+x2", "~x1 + x2"),
        ("~ -1+x", "~-1 + x"),
        ("~ (a+b) ^2-a:b", "~(a + b)^2 - a:b"),
        ("~ a+(b+c)", "~a + (b + c)"),
        ("~ a + -b", "~a + (-b)"),
        ("~ I( (x+1)*2/y ^-2)", "~I((x + 1) * 2/y^-2)"),
        ("~ `x y`+`x`", "~`x y` + x"),
        ("~ poly(x,2L,raw=T)", "~poly(x, 2, raw = TRUE)"),
        ("~ a*(b*c):d", "~a * (b * c):d"),
        ("~ I(1e-20*x)", "~I(1e-20 * x)"),
    ] {
        let formula = parse(text).unwrap();
        assert_eq!(formula.to_string(), printed);
        assert_eq!(parse(printed).unwrap(), formula);
    }
}

//! Reports of the fixtures: their text, and that each form is well made.

use serde_json::json;
use stagger_model::result::{
    Balance, CovariateBalance, Diagnostics, Num, Overlap, SavedResult, ScoreSummary,
};
use stagger_test_support::results;

use super::*;

fn of(saved: &SavedResult) -> Document {
    document(&Sources { saved, run: None, timeline: None, sensitivity: None, title: None })
}

fn all() -> [SavedResult; 5] {
    [results::bootstrap(), results::universal(), results::troubled(), results::triple(), diagnosed()]
}

/// With overlap, balance and names that every form has to escape.
fn diagnosed() -> SavedResult {
    let mut saved: SavedResult = results::bootstrap();
    saved.extended.spec.yname = r#"a_b & "c" <d> \e {f} $g% #h ~i ^j|k [l] *m* –n −o 中"#.into();
    let scores = |bin: usize| {
        let histogram = (0..50).map(|at| u64::from(at == bin) * 9 + 1).collect();
        ScoreSummary { n: 59, quantiles: (0..9).map(|q| Num(0.1 * f64::from(q))).collect(), histogram }
    };
    let covariate = CovariateBalance { name: "log(x_1) & co".into(), before: Num(-0.5), after: Num(0.125) };
    saved.result.diagnostics = Some(Diagnostics {
        overlap: vec![Overlap {
            group: Num(2004.0),
            controls: vec!["never".into()],
            pooled: None,
            period: None,
            trimmed: 0.0,
            treated: scores(20),
            untreated: scores(10),
        }],
        balance: vec![Balance {
            group: Num(2004.0),
            time: Num(2005.0),
            controls: vec!["never".into()],
            period: None,
            effective_treated: Num(20.0),
            effective_controls: Num(100.0),
            condition: Num(10.0),
            covariates: vec![covariate],
        }],
    });
    saved
}

#[test]
fn markdown_of_a_run() {
    let run = json!({
        "version": "0.1.0",
        "facts": {
            "inputs": [{"path": "/somewhere/mpdta.parquet", "bytes": 1, "rows": 2500}],
            "rows": 2500, "units": 500, "shards": 1, "threads": 2, "seconds": 75.25,
            "stages": [{"stage": "gram", "tasks": 4, "seconds": 0.25}],
            "workers": {"backend": "lambda", "attempts": 1200, "failures": 3, "bytes_read": 1_500_000, "dollars": 0.0123},
        },
    });
    let saved = results::bootstrap();
    let document =
        document(&Sources { saved: &saved, run: Some(&run), timeline: None, sensitivity: None, title: None });
    insta::assert_snapshot!("bootstrap_md", markdown(&document, "pictures"));
}

#[test]
fn markdown_of_a_run_with_drops_and_warnings() {
    insta::assert_snapshot!("troubled_md", markdown(&of(&results::troubled()), "pictures"));
}

#[test]
fn latex_of_triple_differences() {
    insta::assert_snapshot!("triple_tex", latex(&of(&results::triple()), "pictures"));
}

#[test]
fn latex_is_balanced() {
    for saved in all() {
        let text = latex(&of(&saved), "pictures");
        let mut open = Vec::new();
        for part in text.split("\\begin{").skip(1) {
            open.push(part.split('}').next().unwrap());
        }
        for name in ["document", "table", "figure", "itemize", "tabular"] {
            let (begins, ends) = (format!("\\begin{{{name}}}"), format!("\\end{{{name}}}"));
            assert_eq!(text.matches(&begins).count(), text.matches(&ends).count(), "{name}");
            assert!(open.contains(&name), "{name} is not in the report");
        }
        // Escaped braces open and close nothing.
        let bare = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "");
        assert_eq!(bare.matches('{').count(), bare.matches('}').count());
        for line in text.lines().filter(|line| line.ends_with("\\\\") && line.contains(" & ")) {
            assert!(!line.replace("\\&", "").contains('_') || line.contains("\\_"), "{line}");
        }
        assert!(text.chars().all(|letter| u32::from(letter) < 0x180));
    }
}

#[test]
fn html_is_well_formed_and_whole() {
    for saved in all() {
        let text = html(&of(&saved));
        assert!(
            !text.contains("http://")
                || text.matches("http://").count() == text.matches("www.w3.org").count()
        );
        assert!(!text.contains("<script") && !text.contains("NaN"));
        let mut open = vec!["html", "head"];
        let style = text.find("</style>").unwrap();
        for tag in text[style..].split('<').skip(2) {
            let name = tag.split([' ', '>', '/']).next().unwrap();
            if let Some(end) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), end.split('>').next(), "{tag}");
            } else if !tag.split('>').next().unwrap().ends_with('/') && name != "meta" {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn equal_results_are_equal_reports() {
    let saved = diagnosed();
    assert_eq!(html(&of(&saved)), html(&of(&saved)));
    assert_eq!(of(&saved).pictures().count(), 6);
}

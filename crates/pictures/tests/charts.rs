//! Pictures by their structure, terminals by their lines.

use proptest::prelude::*;
use roxmltree::{Document, Node};
use stagger_pictures::charts::{
    Balance, Cohort, Cohorts, Covariate, Effects, Estimate, EventStudy, Outcome, Overlap, Score, Series,
    Span, Timeline, balance, cohorts, effects, event_study, overlap, timeline,
};
use stagger_pictures::terminal::{Colours, Options, draw};
use stagger_pictures::{Figure, Shape, png, scene, svg, text_width};

fn estimate(at: f64, value: f64, se: f64) -> Estimate {
    let interval = |z: f64| (se > 0.0).then_some([value - z * se, value + z * se]);
    Estimate {
        at,
        value,
        pointwise: interval(1.96),
        uniform: interval(2.7),
        reference: se == 0.0,
        post: at >= 0.0,
    }
}

/// The minimum wage by event time, with a reference period and a gap.
fn minimum_wage() -> Vec<Estimate> {
    let numbers = [
        (-3.0, 0.0267, 0.0139),
        (-2.0, -0.0036, 0.0131),
        (-1.0, 0.0, 0.0),
        (0.0, -0.0211, 0.0115),
        (1.0, -0.0530, 0.0173),
        (2.0, f64::NAN, f64::NAN),
        (3.0, -0.1069, 0.0311),
    ];
    numbers.map(|(at, value, se)| estimate(at, value, se)).to_vec()
}

fn study(series: Vec<Series>) -> Figure {
    event_study(&EventStudy {
        title: "Effect on lemp <by> time & place".into(),
        y_label: "Average effect on lemp".into(),
        series,
        level: "95".into(),
        notes: vec!["Doubly robust, never treated controls; 500 units, 2003 to 2007.".into()],
    })
}

fn single() -> Figure {
    study(vec![Series { name: String::new(), estimates: minimum_wage(), anticipation: 0.0 }])
}

fn by_cohort(count: usize) -> Figure {
    let cohort = |number: usize| {
        let begins = 2004.0 + number as f64;
        let cell =
            |t: f64| Estimate { post: t >= begins, ..estimate(t, 0.02 * (t - begins).max(-0.5), 0.03) };
        Cohort { begins, estimates: (2003..2009).map(|t| cell(f64::from(t))).collect() }
    };
    cohorts(&Cohorts {
        title: "ATT(g,t)".into(),
        x_label: "year".into(),
        labels: Vec::new(),
        y_label: "Effect".into(),
        anticipation: 1.0,
        cohorts: (0..count).map(cohort).collect(),
        level: "95".into(),
        notes: Vec::new(),
    })
}

fn scores() -> Figure {
    let bump = |middle: f64| {
        (0..50).map(|bin| (100.0 - (f64::from(bin) - middle).powi(2)).max(0.0) as u64).collect()
    };
    let score = Score { name: "2004 vs never treated".into(), treated: bump(20.0), controls: bump(14.0) };
    overlap(&Overlap {
        title: "Propensity scores".into(),
        scores: vec![score.clone(), score],
        notes: Vec::new(),
    })
}

fn differences() -> Figure {
    let covariate = |name: &str, by: f64| Covariate {
        name: name.into(),
        before: vec![0.4 * by, -0.2, f64::NAN],
        after: vec![0.01, -0.03 * by],
    };
    balance(&Balance {
        title: "Balance".into(),
        covariates: vec![
            covariate("lpop", 1.0),
            covariate("a covariate with a name that is very long indeed", -1.0),
        ],
        notes: Vec::new(),
    })
}

fn tasks() -> Figure {
    let outcomes = [Outcome::Done, Outcome::Failed, Outcome::Retry, Outcome::Backup];
    let span = |number: usize| Span {
        lane: number % 5,
        begin: (number / 5) as f64,
        end: (number / 5) as f64 + 0.9,
        stage: number / 10,
        outcome: outcomes[if number % 7 == 3 { number % 4 } else { 0 }],
    };
    timeline(&Timeline {
        title: "Tasks".into(),
        stages: ["gram", "propensity", "influence"].map(str::to_owned).to_vec(),
        spans: (0..30).map(span).collect(),
        notes: Vec::new(),
    })
}

fn natural(figure: &Figure) -> String {
    let (width, height) = figure.natural_size();
    svg(&scene(figure, width, height))
}

fn marks<'a>(document: &'a Document<'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let has = |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|classes| classes.split(' ').any(|own| own == class))
    };
    document.descendants().filter(has).collect()
}

#[test]
fn an_event_study_has_its_points_and_bands() {
    let text = natural(&single());
    let document = Document::parse(&text).unwrap();
    assert_eq!(marks(&document, "point").len(), 6, "five estimates and the reference period");
    assert_eq!(marks(&document, "hollow").len(), 1);
    assert_eq!(marks(&document, "uniform").len(), 5);
    assert_eq!(marks(&document, "pointwise").len(), 5);
    let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
    for wanted in
        ["Effect on lemp <by> time & place", "Not estimable: event times 2.", "95% uniform band", "−3"]
    {
        assert!(texts.contains(&wanted), "{wanted} is not in {texts:?}");
    }
}

#[test]
fn several_results_have_their_own_colours_signs_and_names() {
    let series = |name: &str| Series { name: name.into(), estimates: minimum_wage(), anticipation: 1.0 };
    let text = natural(&study(vec![series("reg"), series("ipw"), series("dr")]));
    let document = Document::parse(&text).unwrap();
    assert_eq!(marks(&document, "point").len(), 18);
    for name in ["reg", "ipw", "dr", "Anticipation (1 period)"] {
        assert!(text.contains(&format!(">{name}</text>")), "{name}");
    }
    let circles = document.descendants().filter(|node| node.has_tag_name("circle")).count();
    assert!(circles < 18, "signs differ");
}

#[test]
fn many_cohorts_are_capped_and_said() {
    let figure = by_cohort(40);
    assert_eq!(figure.panels.len(), 30);
    assert!(figure.notes.iter().any(|note| note == "The first 30 of 40 cohorts."));
}

/// Left, top, right and bottom of a text.
fn room(node: &Node<'_, '_>) -> [f64; 4] {
    let number =
        |name: &str| node.attribute(name).and_then(|text| text.parse::<f64>().ok()).expect("a number");
    let (x, y, size) = (number("x"), number("y"), number("font-size"));
    let width = text_width(node.text().unwrap_or_default(), size);
    let before = match node.attribute("text-anchor") {
        Some("middle") => width / 2.0,
        Some("end") => width,
        _ => 0.0,
    };
    if node.attribute("transform").is_some() {
        [x - 0.8 * size, y - width + before, x + 0.2 * size, y + before]
    } else {
        [x - before, y - 0.75 * size, x - before + width, y + 0.2 * size]
    }
}

fn check_texts(figure: &Figure, width: f64, height: f64) -> Result<(), String> {
    let text = svg(&scene(figure, width, height));
    let document = Document::parse(&text).map_err(|error| error.to_string())?;
    let view: Vec<f64> = document
        .root_element()
        .attribute("viewBox")
        .expect("a view")
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let texts: Vec<(Node<'_, '_>, [f64; 4])> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .map(|node| (node, room(&node)))
        .collect();
    for (node, [left, top, right, bottom]) in &texts {
        if *left < -0.5 || *top < -0.5 || *right > view[2] + 0.5 || *bottom > view[3] + 0.5 {
            return Err(format!(
                "{:?} leaves the picture: {left} {top} {right} {bottom} of {view:?}",
                node.text()
            ));
        }
    }
    for (at, (a, x)) in texts.iter().enumerate() {
        for (b, y) in &texts[at + 1..] {
            if x[0] < y[2] - 0.5 && y[0] < x[2] - 0.5 && x[1] < y[3] - 0.5 && y[1] < x[3] - 0.5 {
                return Err(format!("{:?} lies on {:?}", a.text(), b.text()));
            }
        }
    }
    Ok(())
}

#[test]
fn texts_stay_in_the_picture_and_apart() {
    let all = [single(), by_cohort(3), by_cohort(13), scores(), differences(), tasks()];
    for figure in all {
        let (width, height) = figure.natural_size();
        for (width, height) in [(width, height), (500.0, 320.0), (1600.0, 500.0), (420.0, 900.0)] {
            check_texts(&figure, width, height).unwrap();
        }
    }
}

#[test]
fn png_has_its_size_and_is_not_blank() {
    let scene = scene(&single(), 600.0, 400.0);
    let bytes = png(&scene, 1.5).unwrap();
    let decoded = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (900, 600));
    let dark = decoded.pixels().iter().filter(|pixel| pixel.red() < 128).count();
    assert!((2000..200_000).contains(&dark), "{dark} dark pixels");
    assert_eq!(png(&scene, 1.5).unwrap(), bytes, "equal figures are equal bytes");
    assert!(png(&scene, 1000.0).is_none());
}

fn lines(figure: &Figure, ascii: bool) -> String {
    draw(figure, &Options { width: 76, height: None, ascii }).to_text(Colours::None)
}

#[test]
fn terminals_with_unicode() {
    insta::assert_snapshot!("event_study", lines(&single(), false));
    insta::assert_snapshot!("cohorts", lines(&by_cohort(3), false));
    insta::assert_snapshot!("overlap", lines(&scores(), false));
    insta::assert_snapshot!("balance", lines(&differences(), false));
    insta::assert_snapshot!("timeline", lines(&tasks(), false));
}

#[test]
fn terminals_with_ascii_alone() {
    insta::assert_snapshot!("event_study_ascii", lines(&single(), true));
    for figure in [by_cohort(3), scores(), differences(), tasks()] {
        assert!(lines(&figure, true).is_ascii());
    }
}

#[test]
fn colours_are_escape_codes_only_where_they_are_wanted() {
    let grid = draw(&single(), &Options { width: 80, height: Some(24), ascii: false });
    assert!(grid.height() <= 24, "{} lines", grid.height());
    assert!(grid.rows().iter().all(|row| row.len() <= 80));
    assert!(!grid.to_text(Colours::None).contains('\u{1b}'));
    for (colours, code) in [(Colours::Indexed, "\u{1b}[38;5;32m"), (Colours::True, "\u{1b}[38;2;0;114;178m")]
    {
        let text = grid.to_text(colours);
        assert!(text.contains(code) && text.matches("\u{1b}[0m").count() > 5);
        for line in text.lines().filter(|line| line.contains('\u{1b}')) {
            assert!(
                line.rfind("\u{1b}[0m") > line.rfind("\u{1b}[38"),
                "colours end with their line: {line:?}"
            );
        }
    }
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -5.0..5.0_f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => any::<f64>(),
        1 => Just(0.0),
        1 => Just(1e-300),
        1 => Just(-1e300),
    ]
}

fn any_estimate() -> impl Strategy<Value = Estimate> {
    let at = prop_oneof![8 => (-12..12_i32).prop_map(f64::from), 1 => any_number()];
    let interval = || proptest::option::of((any_number(), any_number()).prop_map(|(a, b)| [a, b]));
    (at, any_number(), interval(), interval(), any::<bool>(), any::<bool>()).prop_map(
        |(at, value, pointwise, uniform, reference, post)| Estimate {
            at,
            value,
            pointwise,
            uniform,
            reference,
            post,
        },
    )
}

fn any_figure() -> impl Strategy<Value = Figure> {
    let estimates = || proptest::collection::vec(any_estimate(), 0..24);
    let name = "\\PC{0,40}";
    let studies = (proptest::collection::vec((name, estimates(), any_number()), 0..5), name).prop_map(
        |(all, title)| {
            let series = all.into_iter().map(|(name, estimates, anticipation)| Series {
                name,
                estimates,
                anticipation,
            });
            event_study(&EventStudy { title, series: series.collect(), ..EventStudy::default() })
        },
    );
    let cells = proptest::collection::vec((any_number(), estimates()), 0..40).prop_map(|all| {
        let cohort = |(begins, estimates)| Cohort { begins, estimates };
        cohorts(&Cohorts { cohorts: all.into_iter().map(cohort).collect(), ..Cohorts::default() })
    });
    let row = (estimates(), name)
        .prop_map(|(estimates, x_label)| effects(&Effects { estimates, x_label, ..Effects::default() }));
    let numbers = || proptest::collection::vec(any_number(), 0..9);
    let loves = proptest::collection::vec((name, numbers(), numbers()), 0..70).prop_map(|all| {
        let covariate = |(name, before, after)| Covariate { name, before, after };
        balance(&Balance { covariates: all.into_iter().map(covariate).collect(), ..Balance::default() })
    });
    let counts = || proptest::collection::vec(0..u64::from(u32::MAX), 0..60);
    let histograms = proptest::collection::vec((name, counts(), counts()), 0..15).prop_map(|all| {
        let score = |(name, treated, controls)| Score { name, treated, controls };
        overlap(&Overlap { scores: all.into_iter().map(score).collect(), ..Overlap::default() })
    });
    let spans = proptest::collection::vec((0..60_usize, any_number(), any_number(), 0..12_usize), 0..80)
        .prop_map(|all| {
            let span = |(lane, begin, end, stage)| Span { lane, begin, end, stage, outcome: Outcome::Failed };
            let stages = (0..10).map(|stage| format!("stage {stage}")).collect();
            timeline(&Timeline { stages, spans: all.into_iter().map(span).collect(), ..Timeline::default() })
        });
    prop_oneof![studies, cells, row, loves, histograms, spans]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_numbers_all_marks_lie_in_the_picture(
        figure in any_figure(),
        width in 100.0..3000.0_f64,
        height in 100.0..3000.0_f64,
        columns in 1..200_usize,
        ascii in any::<bool>(),
    ) {
        let scene = scene(&figure, width, height);
        let inside = |x: f64, y: f64| (-0.01..=scene.width + 0.01).contains(&x) && (-0.01..=scene.height + 0.01).contains(&y);
        for mark in &scene.marks {
            let ok = match &mark.shape {
                Shape::Segments { ends, .. } => ends.iter().flatten().all(|p| inside(p.x, p.y)),
                Shape::Areas { outlines, .. } => outlines.iter().flatten().all(|p| inside(p.x, p.y)),
                Shape::Disc { centre, .. } => inside(centre.x, centre.y),
                Shape::Text(text) => inside(text.at.x, text.at.y),
            };
            prop_assert!(ok, "{mark:?} leaves {} x {}", scene.width, scene.height);
        }
        let text = svg(&scene);
        prop_assert!(!text.contains("NaN") && !text.contains("inf\""));
        prop_assert!(Document::parse(&text).is_ok());
        let grid = draw(&figure, &Options { width: columns, height: Some(columns), ascii });
        prop_assert!(grid.rows().iter().all(|row| row.len() <= columns.max(32)));
        prop_assert!(!ascii || grid.to_text(Colours::None).is_ascii());
    }
}

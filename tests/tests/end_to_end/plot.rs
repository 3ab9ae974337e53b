//! `stagger plot` and `stagger report` as a person meets them: files, what is refused and how.

use std::fs;
use std::path::{Path, PathBuf};

use stagger_tests::cli::{Output, path_str, run, words, workspace};
use tempfile::TempDir;

const MPDTA: &str = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla '~ lpop'";

fn stagger(line: &str) -> Output {
    run(&words(line))
}

/// A folder with the result of the README's example, made with these options.
fn result(options: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let saved = folder.path().join("result");
    let example = workspace().join("examples/mpdta.parquet");
    stagger(&format!(
        "run {} {MPDTA} --biters 120 -q {options} --out {}",
        path_str(&example),
        path_str(&saved)
    ))
    .success();
    (folder, saved)
}

/// The message, with the folder's path taken out.
fn refusal(line: &str, folder: &Path) -> String {
    let output = stagger(line);
    assert!(matches!(output.code, Some(1 | 2)), "`{}` is not refused", output.line);
    assert!(output.stdout.is_empty(), "`{}` prints {}", output.line, output.stdout);
    output.stderr.replace(path_str(folder), "DIR")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_kind_as_svg_and_png() {
    let (folder, saved) = result("--diagnostics");
    let (folder, saved) = (folder.path(), path_str(&saved));
    for kind in ["event-study", "gt", "group", "calendar", "overlap", "balance"] {
        let svg = folder.join(format!("{kind}.svg"));
        let output = stagger(&format!("plot {saved} --kind {kind} --out {}", path_str(&svg))).success();
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}{}", output.stdout, output.stderr);
        let text = fs::read_to_string(&svg).expect("the picture");
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n") && !text.contains("NaN"), "{kind}");
        let png = folder.join(format!("{kind}.png"));
        stagger(&format!("plot {saved} --kind {kind} --width 900 --height 640 --out {}", path_str(&png)))
            .success();
        let bytes = fs::read(&png).expect("the picture");
        assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((number(16), number(20)), (900, 640), "{kind}");
    }
    // Nothing half-written is left, and the picture of the run is that of plot.
    assert!(names(folder).iter().all(|name| !name.starts_with('.')));
    let saved_with_the_run =
        fs::read_to_string(Path::new(&saved).join("event_study.svg")).expect("the picture");
    assert_eq!(saved_with_the_run, fs::read_to_string(folder.join("event-study.svg")).expect("the picture"));
}

#[test]
fn the_terminal_gets_no_escape_code_when_it_is_none() {
    let (_folder, saved) = result("--diagnostics");
    let saved = path_str(&saved);
    for kind in ["event-study", "gt", "group", "calendar", "overlap", "balance"] {
        for options in ["", "--ascii", "--width 60 --height 20"] {
            let output = stagger(&format!("plot {saved} --kind {kind} {options}")).success();
            assert!(!output.stdout.contains('\u{1b}') && output.stderr.is_empty());
            assert!(options != "--ascii" || output.stdout.is_ascii());
            let widest = output.stdout.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(
                widest <= if options.contains("60") { 60 } else { 80 },
                "{kind} {options}: {widest} wide"
            );
        }
    }
}

#[test]
fn several_results_and_windows_in_one_event_study() {
    let (folder, saved) = result("");
    let (_other, second) = result("--est-method reg --base-period universal");
    let out = folder.path().join("both.svg");
    let (saved, second) = (path_str(&saved), path_str(&second));
    stagger(&format!("plot DR={saved} Regression={second} --out {}", path_str(&out))).success();
    let text = fs::read_to_string(&out).expect("the picture");
    for wanted in [">DR</text>", ">Regression</text>", ">Reference period</text>"] {
        assert!(text.contains(wanted), "no {wanted}");
    }
    let narrow = stagger(&format!("plot {saved} --min-e -1 --max-e 1")).success();
    assert!(narrow.stdout.contains('1') && !narrow.stdout.contains("−3"), "{}", narrow.stdout);
}

#[test]
fn refusals_name_what_is_wrong_and_what_to_do() {
    let (folder, saved) = result("");
    let root = folder.path();
    // A result of a version that kept no events.
    fs::remove_file(saved.join("events.jsonl")).expect("the run's events");
    let (dir, saved) = (path_str(root), path_str(&saved));
    let lines = [
        format!("plot {dir}/none"),
        format!("plot {saved} --kind pie"),
        format!("plot {saved} --kind overlap"),
        format!("plot {saved} --kind timeline"),
        format!("plot {saved} --out {dir}/picture.pdf"),
        format!("plot {saved} --out {dir}/picture"),
        format!("plot {saved} --out {dir}/none/picture.svg"),
        format!("plot {saved} {saved} --kind gt"),
        format!("plot {saved} --width 20 --out {dir}/picture.svg"),
        format!("plot {saved} --min-e 3 --max-e 1"),
        format!("report {saved} --out {dir}/report.docx"),
        format!("report {dir}/none --out {dir}/report.html"),
    ];
    let told: String = lines.iter().map(|line| refusal(line, root)).collect();
    insta::assert_snapshot!(told);
    assert_eq!(names(root), ["result"], "nothing was written");
}

#[test]
fn a_log_of_events_becomes_a_timeline() {
    let (folder, saved) = result("");
    let log = r#"{"v":1,"at":10.0,"event":"stage_started","number":1,"stage":"gram","tasks":1}
{"v":1,"at":10.5,"event":"invoked","attempt":1,"task":"shard 0","number":1,"function":"f","backup":false}
{"v":1,"at":11.5,"event":"failed","attempt":1,"class":"lost","message":"gone","remedy":"again","took":1.0}
{"v":1,"at":12.0,"event":"invoked","attempt":2,"task":"shard 0","number":2,"function":"f","backup":false}
{"v":1,"at":13.0,"event":"done","attempt":2}
"#;
    fs::write(saved.join("events.jsonl"), log).expect("the log");
    // A log that is not the run's own goes with a result that has no checksums.
    fs::remove_file(saved.join("checksums.json")).expect("the checksums");
    let out = folder.path().join("timeline.svg");
    stagger(&format!("plot {} --kind timeline --out {}", path_str(&saved), path_str(&out))).success();
    let text = fs::read_to_string(&out).expect("the picture");
    for wanted in [">gram</text>", ">failed</text>", ">done again</text>"] {
        assert!(text.contains(wanted), "no {wanted}");
    }
    let report = folder.path().join("report.html");
    stagger(&format!("report {} --out {}", path_str(&saved), path_str(&report))).success();
    assert!(fs::read_to_string(&report).expect("the report").contains("Worker slot"));
}

#[test]
fn reports_in_every_form() {
    let (folder, saved) = result("--diagnostics");
    let root = folder.path();
    // The draws are for other aggregations; a report does without.
    fs::remove_file(saved.join("draws.parquet")).expect("the draws");
    let saved = path_str(&saved);
    for name in ["report.html", "report.md", "report.tex", "tables"] {
        let out = root.join(name);
        let output = stagger(&format!("report {saved} --out {}", path_str(&out))).success();
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}{}", output.stdout, output.stderr);
    }
    assert_eq!(
        names(root),
        ["report.html", "report.md", "report.tex", "report_pictures", "result", "tables"]
    );
    let pictures = names(&root.join("report_pictures"));
    for name in ["event_study", "att_gt", "group", "calendar", "overlap", "balance"] {
        for form in ["svg", "png"] {
            assert!(pictures.contains(&format!("{name}.{form}")), "{pictures:?}");
        }
    }
    let tables = [
        "aggte_calendar.csv",
        "aggte_dynamic.csv",
        "aggte_dynamic_vcov.csv",
        "aggte_group.csv",
        "aggte_simple.csv",
        "att_gt.csv",
        "balance.csv",
        "overlap.csv",
    ];
    assert_eq!(names(&root.join("tables")), tables);
    let html = fs::read_to_string(root.join("report.html")).expect("the report");
    for wanted in ["<svg", "Callaway", "Rademacher", "20210101", "mpdta.parquet", "prefers-color-scheme"] {
        assert!(html.contains(wanted), "no {wanted}");
    }
    assert!(!html.contains("src=") && !html.contains("href="), "the file needs no other");
    // The same result gives the same report.
    let again = root.join("again.html");
    stagger(&format!("report {saved} --out {}", path_str(&again))).success();
    assert_eq!(html, fs::read_to_string(again).expect("the report"));
}

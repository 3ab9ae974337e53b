//! The dashboard on a terminal, as a person has it: runs that are watched, paused, cancelled, left, shown again; and what is told where
//! there is no terminal.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use stagger_test_support::system::{Signal, send};
use stagger_tests::cli::{command, finish, path_str, words};
use stagger_tests::pty::Terminal;
use tempfile::TempDir;

const COLUMNS: &str = "--yname y --tname time --idname id --gname group";

/// A panel that one thread takes seconds for.
fn panel() -> &'static Path {
    static PANEL: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = PANEL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("panel.parquet");
        let line = format!(
            "simulate --units 400000 --periods 8 --cohorts 6 --covariates 3 --never-share 0.3 --seed 4 --out {}",
            path_str(&file)
        );
        finish(command().args(words(&line))).success();
        (folder, file)
    });
    file
}

/// A run with a journal, in many small tasks.
fn run(folder: &Path, name: &str, more: &str) -> Vec<String> {
    words(&format!(
        "run {} {COLUMNS} --xformla '~ x1 + x2 + x3' --run-dir {} --run-name {name} --threads 1 --n-partitions 64 {more}",
        path_str(panel()),
        path_str(folder)
    ))
}

fn on_terminal(words: &[String]) -> Terminal {
    Terminal::start(words, (120, 40), &[])
}

#[test]
fn a_run_is_paused_looked_at_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("result");
    let mut terminal = on_terminal(&run(folder.path(), "one", &format!("--out {}", path_str(&out))));
    terminal.until("> running");
    terminal.press_until("p", "= paused");
    for (key, title) in [
        ("2", "Profile: worker seconds"),
        ("3", "Cells"),
        ("4", "Attempts:"),
        ("5", "Nearest to their limit"),
        ("6", "cap   none"),
        ("7", "What to do"),
        ("8", "the newest first"),
        ("9", "Event study"),
        ("\t", "Task stream"),
        ("\x1b[Z", "ATT(g,t), by cell"),
    ] {
        terminal.press_until(key, title);
    }
    terminal.press_until("?", "pane by its number");
    terminal.press_until("x", "ATT(g,t), by cell");
    terminal.press_until("4s", "sorted by seconds");
    terminal.press_until("/nothing is called so\r", "Attempts: 0, by seconds");
    terminal.press("\x1b");
    terminal.press_until("1f", "frozen");
    terminal.resize(80, 24);
    terminal.press_until("f", "Cost and rates");
    assert!(terminal.screen().lines().all(|line| line.chars().count() <= 80));
    std::thread::sleep(Duration::from_millis(500));
    assert!(terminal.screen().contains("= paused"), "a paused run waits:\n{}", terminal.screen());
    terminal.press_until("p", "> running");
    terminal.until("q closes and prints its results");
    // It is said a moment before it is done.
    let since = std::time::Instant::now();
    while !out.join("result.json").exists() {
        assert!(since.elapsed() < Duration::from_secs(10), "saved before anybody leaves");
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = terminal.computed();
    std::thread::sleep(Duration::from_secs(1));
    if let (Some(before), Some(after)) = (before, terminal.computed()) {
        assert!(after - before < 0.5, "a screen that stands still computes {} s a second", after - before);
    }
    let (status, screen) = {
        terminal.press("q");
        terminal.ends()
    };
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("saved: "), "{screen}");

    // Pauses, panes and keys change no bit.
    let direct = finish(command().args(words(&format!(
        "run {} {COLUMNS} --xformla '~ x1 + x2 + x3' --json --quiet",
        path_str(panel())
    ))));
    let saved = std::fs::read_to_string(out.join("result.json")).expect("a result");
    let shared = |text: &str| text.split(",\"extended\"").next().map(str::to_owned);
    assert_eq!(shared(&saved), direct.success().stdout.trim_end().strip_suffix('}').map(str::to_owned));
}

#[test]
fn a_cancelled_run_is_resumed_and_played_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut terminal = on_terminal(&run(folder.path(), "two", ""));
    terminal.until("> running");
    terminal.press_until("c", "Cancel the run?");
    terminal.press_until("n", "> running");
    terminal.press_until("cy", "stopped, resumable");
    terminal.press_until("q", "goes on where it was");
    let (status, screen) = terminal.ends();
    assert_ne!(status, 0, "{screen}");

    let place = format!("--run-dir {}", path_str(folder.path()));
    let mut terminal = on_terminal(&words(&format!("watch two {place} --speed 64")));
    terminal.press_until(" ", "replay, paused");
    terminal.press_until("\x1b[C\x1b[C\x1b[C", "stopped, resumable");
    terminal.press_until(" -", "replay at 32x");
    terminal.press("q");
    assert_eq!(terminal.ends().0, 0);

    let mut terminal = on_terminal(&words(&format!("resume two {place}")));
    terminal.until("* finished");
    let screen = {
        terminal.press("Q");
        terminal.ends().1
    };
    assert!(screen.contains("Sample:"), "results follow the screen that stays:\n{screen}");
}

#[test]
fn a_run_that_is_left_goes_on_in_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut terminal = on_terminal(&run(folder.path(), "three", ""));
    terminal.until("> running");
    terminal.press_until("q", "detach");
    terminal.press("d");
    let (status, screen) = terminal.ends();
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("Sample:") && !screen.contains("Task stream"), "{screen}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut terminal = on_terminal(&run(folder.path(), "four", ""));
    terminal.until("> running");
    assert!(terminal.is_taken());
    for _ in 0..2 {
        send(Signal::TERM, terminal.pid()).expect("it runs");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The first one stops the run in good order, the second one leaves at once; either way the terminal is usable.
    terminal.press("q");
    let (status, screen) = terminal.ends();
    assert_ne!(status, 0);
    assert!(screen.contains("stagger resume four"), "{screen}");
}

#[test]
fn the_demo_plays_without_an_account() {
    let line = words("demo --speed 16");
    let mut terminal = Terminal::start(&line, (80, 24), &[("NO_COLOR", "1"), ("LC_ALL", "C")]);
    let screen = terminal.until("replay at 16x");
    assert!(screen.is_ascii(), "a locale without UTF-8 gets ASCII:\n{screen}");
    terminal.press_until("7", "killed for m");
    terminal.press_until("3", "above 0");
    terminal.press("Q");
    let (status, screen) = terminal.ends();
    assert_eq!(status, 0);
    assert!(screen.contains("Cells: cohort x period"), "the screen stays:\n{screen}");
}

#[test]
fn without_a_terminal_there_are_lines_and_no_escape_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log.jsonl");
    let ran =
        finish(command().args(run(folder.path(), "five", &format!("--tui --events {}", path_str(&log)))))
            .success();
    let both = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!both.contains('\x1b') && !both.contains('\r'), "{both}");
    for part in [
        "note: no dashboard, as this is no terminal",
        "stage 1 scatter: ",
        "influence: ",
        "planned: 42 cells",
    ] {
        assert!(ran.stderr.contains(part), "`{part}`:\n{}", ran.stderr);
    }
    let events = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    };
    let written = events(&std::fs::read_to_string(&log).expect("a log"));
    assert!(
        written.iter().all(|event| event["v"] == 1 && event["at"].is_f64() && event["event"].is_string())
    );
    let count = |events: &[Value], name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert!(count(&written, "done") > 64 && count(&written, "done") == count(&written, "invoked"));

    let place = format!("five --run-dir {}", path_str(folder.path()));
    let again = finish(command().args(words(&format!("watch {place} --json")))).success();
    let read = events(&again.stdout);
    for name in
        ["planned", "stage_started", "invoked", "done", "stage_done", "solved", "estimated", "finished"]
    {
        assert!(count(&read, name) > 0, "{name}");
        if name != "stage_started" && name != "stage_done" {
            assert_eq!(count(&read, name), count(&written, name), "{name}");
        }
    }
    let told = finish(command().args(words(&format!("watch {place}")))).success();
    assert!(told.stdout.contains("influence: ") && told.stdout.ends_with("finished\n"), "{}", told.stdout);

    let picture = folder.path().join("run.svg");
    finish(command().args(words(&format!("watch {place} --picture {} --at 0.9", path_str(&picture)))))
        .success();
    assert!(std::fs::read_to_string(&picture).expect("a picture").contains("influence"));
}

#[test]
fn what_can_not_be_shown_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = path_str(folder.path());
    let told = |line: &str| {
        let output = finish(command().args(words(line)));
        assert_eq!(output.code, Some(2), "{line}");
        output.stderr.replace(place, "DIR")
    };
    std::fs::write(folder.path().join("bad.jsonl"), "hello\n").expect("a file");
    let all = [
        format!("watch none --run-dir {place}"),
        format!("watch {place}/bad.jsonl"),
        "demo --picture x.svg --size 1x1".to_owned(),
        "demo --picture x.svg --at 2".to_owned(),
        "demo --speed 0".to_owned(),
    ]
    .map(|line| told(&line));
    insta::assert_snapshot!(all.concat(), @r#"
    error: there is no run `none` in `DIR`
    hint: `stagger list` shows the runs there are
    error: line 1 of DIR/bad.jsonl is no event: expected value at line 1 column 1
    hint: an event log has one JSON object a line; docs/events.md describes it
    error: size must be columns x rows, from 40x10 to 500x300; received "1x1"
    error: at must be between 0 and 1; received 2
    error: speed must be positive; received 0
    "#);
}

//! Screens as they are, and what keys and mouse do to them.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use stagger_model::cost::Cost;
use stagger_model::error::FailureClass;
use stagger_model::events::{
    CellKind, Estimated, FunctionFacts, PhaseSeconds, RunEvent, RunState, SpecOutline, Summary, TaskDone,
};
use stagger_model::result::{Aggte, AttGt, Num};

use super::app::{App, Mode, Popup, Tab};
use super::input::InputRequest;
use super::panes::draw;
use super::replay::Player;
use super::terminal::buffer_text;
use super::theme::{Colors, Theme};
use crate::view::{RunPhase, RunView};

const BEGIN: f64 = 1_790_000_000.0;
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn nums(values: impl IntoIterator<Item = f64>) -> Vec<Num> {
    values.into_iter().map(Num).collect()
}

fn outline() -> SpecOutline {
    let groups = [3.0, 4.0, 6.0];
    let cells: Vec<(f64, f64)> =
        groups.iter().flat_map(|&g| (2..=6).map(move |t| (g, f64::from(t)))).collect();
    let kind = |&(g, t): &(f64, f64)| match (g, t) {
        (g, t) if t == g - 1.0 => CellKind::Reference,
        (6.0, 6.0) => CellKind::NoControls,
        _ => CellKind::Estimate,
    };
    SpecOutline {
        units: 1_000_000,
        shards: 64,
        cells: cells.len(),
        draws: 1_000,
        group: nums(cells.iter().map(|cell| cell.0)),
        time: nums(cells.iter().map(|cell| cell.1)),
        kind: cells.iter().map(kind).collect(),
        ..SpecOutline::default()
    }
}

fn done(attempt: u64, took: f64, done: usize, tasks: usize) -> RunEvent {
    let seconds = PhaseSeconds { open: 0.05, read: 0.4 * took, compute: 0.3 * took, write: 0.05 };
    RunEvent::Done(TaskDone {
        attempt,
        seconds,
        took,
        billed: Some(took),
        rows: 15_625,
        bytes_read: 2_000_000,
        requests: 12,
        throttles: attempt % 3,
        peak_memory: (200 + 30 * (attempt % 9)) << 20,
        done,
        tasks,
        ..TaskDone::default()
    })
}

fn failed(attempt: u64, class: FailureClass, message: &str, remedy: &str) -> RunEvent {
    RunEvent::Failed {
        attempt,
        class,
        message: message.into(),
        place: Some("part-0003.parquet, row group 2".into()),
        hint: None,
        remedy: remedy.into(),
        took: 1.0,
    }
}

fn summary(state: RunState, spent: f64) -> RunEvent {
    let cost = Cost { spent, reserved: 0.002, cap: Some(0.25), ..Cost::default() };
    RunEvent::Summary(Summary { state, cost, attempts: 21, failures: 3, throttled: 1, ..Summary::default() })
}

/// A run with something of everything, up to its last stage.
fn events() -> Vec<(f64, RunEvent)> {
    let function = |name: &str, memory_mb| FunctionFacts { name: name.into(), memory_mb, timeout: 300 };
    let mut out = vec![
        (0.0, RunEvent::Opened { version: "0.1.0".into() }),
        (
            0.0,
            RunEvent::Workers {
                backend: "lambda".into(),
                functions: vec![function("stagger-512", 512), function("stagger-1769", 1_769)],
                concurrency: 1_000,
            },
        ),
        (0.1, RunEvent::InputFound { files: 3, rows: 10_000_000, bytes: 250_000_000 }),
        (0.2, RunEvent::Note { text: "reading the prepared store `s3://b/panels/x` of this input".into() }),
        (0.5, RunEvent::Planned { specs: vec![outline()] }),
        (0.5, RunEvent::Warning { text: "be aware that there are some small groups in your dataset".into() }),
    ];
    let mut attempt = 0;
    for (number, stage, at) in [(1, "gram", 1.0), (2, "propensity", 4.0)] {
        out.push((at, RunEvent::StageStarted { number, stage: stage.into(), tasks: 8, object: None }));
        for task in 0..8u64 {
            attempt += 1;
            let begin = at + 0.05 * task as f64;
            out.push((
                begin,
                invoked(attempt, &format!("shards {} to {}", 8 * task, 8 * task + 7), 1, false),
            ));
        }
        let first = attempt - 7;
        let lost = failed(first + 2, FailureClass::Lost, "its answer to request 17 is lost", "again");
        out.push((at + 0.6, lost));
        out.push((at + 0.7, invoked(100 + number, "shards 16 to 23", 2, false)));
        out.push((
            at + 0.9,
            failed(first + 3, FailureClass::OutOfMemory, "512 MB are too few", "again on function 2"),
        ));
        for (count, own) in (first..=attempt).filter(|a| *a != first + 2 && *a != first + 3).enumerate() {
            out.push((at + 1.0 + 0.2 * count as f64, done(own, 1.0 + 0.2 * count as f64, count + 1, 8)));
        }
        out.push((at + 2.3, invoked(200 + number, "shards 24 to 31", 3, true)));
        out.push((at + 2.5, done(100 + number, 1.8, 7, 8)));
        out.push((at + 2.6, done(200 + number, 0.3, 8, 8)));
        out.push((at + 2.7, RunEvent::StageDone { number, stage: stage.into(), seconds: 2.7 }));
        out.push((at + 2.7, summary(RunState::Running, 0.004 * number as f64)));
    }
    out.push((6.8, RunEvent::Logits { spec: 0, round: 1, active: 2, converged: 7, failed: 0 }));
    out.push((7.0, RunEvent::StageStarted { number: 3, stage: "influence".into(), tasks: 8, object: None }));
    out.push((7.1, invoked(300, "shards 0 to 7", 1, false)));
    out.push((7.2, invoked(301, "shards 8 to 15", 1, false)));
    out.push((7.4, failed(300, FailureClass::Throttled, "too many requests", "again")));
    out.push((7.5, invoked(302, "shards 0 to 7", 2, false)));
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    out
}

fn invoked(attempt: u64, task: &str, number: u32, backup: bool) -> RunEvent {
    RunEvent::Invoked { attempt, task: task.into(), number, function: "stagger-512".into(), backup }
}

fn estimated() -> RunEvent {
    let outline = outline();
    let att: Vec<f64> = (0..outline.cells).map(|i| 0.3 * libm::sin(i as f64) + 0.1).collect();
    let shift = |by: f64| nums(att.iter().map(|x| x + by));
    let att_gt = AttGt {
        group: outline.group.clone(),
        time: outline.time.clone(),
        post: vec![true; outline.cells],
        att: nums(att.iter().copied()),
        se: nums(att.iter().map(|_| 0.05)),
        lci: shift(-0.14),
        uci: shift(0.14),
        ..AttGt::default()
    };
    let egt = [-2.0, -1.0, 0.0, 1.0, 2.0];
    let study = [0.02, f64::NAN, 0.2, 0.35, 0.5];
    let aggte = |kind: &str| Aggte {
        kind: kind.into(),
        min_e: None,
        max_e: None,
        balance_e: None,
        na_rm: false,
        overall_att: Num(0.21),
        overall_se: Num(0.03),
        overall_lci: Num(0.15),
        overall_uci: Num(0.27),
        egt_label: Vec::new(),
        egt: nums(egt),
        att_egt: nums(study),
        se_egt: nums(study.map(|x| 0.1 * x.abs() + 0.03)),
        lci_egt: nums(study.map(|x| x - 0.12)),
        uci_egt: nums(study.map(|x| x + 0.12)),
        crit: Some(Num(2.7)),
        cband: true,
        ..Aggte::default()
    };
    let (simple, dynamic) = (Some(aggte("simple")), Some(aggte("dynamic")));
    RunEvent::Estimated(Box::new(Estimated { spec: 0, alp: 0.05, att_gt, simple, dynamic }))
}

/// States that a run can be in.
fn states() -> Vec<(&'static str, RunView, f64)> {
    let of = |events: &[(f64, RunEvent)]| {
        let mut view = RunView::new("20261121-103012-kqzt");
        events.iter().for_each(|(at, event)| view.update(BEGIN + at, event));
        view
    };
    let running = events();
    let mut finished = running.clone();
    finished.extend([(8.0, done(301, 0.8, 8, 8)), (8.2, RunEvent::Solved { spec: 0, att: nums([0.1; 15]) })]);
    finished.extend([
        (8.4, estimated()),
        (8.5, RunEvent::Finished),
        (8.5, summary(RunState::Finished, 0.011)),
    ]);
    let mut failed_run = running.clone();
    failed_run.push((
        8.0,
        failed(301, FailureClass::Data, "shard 9 has no rows (given up after 3 attempts)", "given up"),
    ));
    failed_run.push((
        8.1,
        RunEvent::Stopped {
            reason: "shards 8 to 15: shard 9 has no rows".into(),
            hint: None,
            resumable: false,
        },
    ));
    vec![
        ("waiting", RunView::new("20261121-103012-kqzt"), BEGIN),
        ("running", of(&running), BEGIN + 7.8),
        ("failed", of(&failed_run), BEGIN + 9.0),
        ("finished", of(&finished), BEGIN + 9.0),
    ]
}

fn app(view: &RunView, now: f64, colors: Colors, ascii: bool) -> App {
    let mut app = App::new(view.clone(), Theme { colors, ascii }, Mode::Run);
    app.set_now(now);
    app
}

fn screen(app: &App, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| draw(frame, app)).expect("a frame");
    terminal.backend().buffer().clone()
}

fn press(app: &mut App, code: KeyCode) -> InputRequest {
    app.key(KeyEvent::new(code, KeyModifiers::NONE), Rect::new(0, 0, 120, 40))
}

fn letters(app: &mut App, keys: &str) -> Vec<InputRequest> {
    keys.chars().map(|key| press(app, KeyCode::Char(key))).collect()
}

#[test]
fn every_pane_in_every_state_and_size() {
    for tab in Tab::ALL {
        for size in SIZES {
            let mut all = String::new();
            for (state, view, now) in states() {
                let mut app = app(&view, now, Colors::True, false);
                app.tab = tab;
                all += &format!("== {state}\n{}", buffer_text(&screen(&app, size)));
            }
            let name = format!("{}_{}x{}", tab.name().to_lowercase(), size.0, size.1);
            insta::assert_snapshot!(name, all);
        }
    }
}

#[test]
fn questions_help_and_modes() {
    let (_, view, now) = states().swap_remove(1);
    let mut all = String::new();
    let mut show =
        |title: &str, app: &App, size| all += &format!("== {title}\n{}", buffer_text(&screen(app, size)));
    let mut own = app(&view, now, Colors::True, false);
    for popup in [Popup::Help, Popup::Leave, Popup::Cancel] {
        own.popup = Some(popup);
        show(&format!("{popup:?}"), &own, (80, 24));
    }
    own.popup = Some(Popup::Help);
    show("Help, a tall screen", &own, (120, 40));
    own.popup = None;
    letters(&mut own, "p");
    show("paused", &own, (80, 24));
    letters(&mut own, "f/lost");
    show("frozen, a filter is typed", &own, (80, 24));
    let mut replay = App::new(view.clone(), own.theme, Mode::Replay { speed: 4.0, paused: true });
    replay.set_now(now);
    show("replay", &replay, (80, 24));
    show("too small", &replay, (30, 8));
    insta::assert_snapshot!(all);
}

#[test]
fn ascii_screens_have_no_other_characters() {
    for (state, view, now) in states() {
        for tab in Tab::ALL {
            let mut app = app(&view, now, Colors::None, true);
            app.tab = tab;
            for size in SIZES {
                let text = buffer_text(&screen(&app, size));
                let other: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
                assert!(other.is_empty(), "{state} {tab:?} {size:?}: {other:?}");
            }
        }
    }
    let (_, view, now) = states().swap_remove(3);
    let mut all = String::new();
    for tab in [Tab::Overview, Tab::Cells, Tab::Tasks, Tab::Estimates] {
        let mut app = app(&view, now, Colors::None, true);
        app.tab = tab;
        all += &buffer_text(&screen(&app, (100, 30)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn palettes_use_their_colours_alone() {
    let allowed = |colors: Colors, color: Color| match colors {
        Colors::None => color == Color::Reset,
        Colors::Sixteen => !matches!(color, Color::Rgb(..) | Color::Indexed(_)),
        Colors::Indexed => !matches!(color, Color::Rgb(..)),
        Colors::True => true,
    };
    let (_, view, now) = states().swap_remove(3);
    for colors in [Colors::None, Colors::Sixteen, Colors::Indexed, Colors::True] {
        let mut coloured = 0;
        for tab in Tab::ALL {
            let mut app = app(&view, now, colors, false);
            app.tab = tab;
            for cell in screen(&app, (120, 40)).content() {
                assert!(allowed(colors, cell.fg) && cell.bg == Color::Reset, "{colors:?} {tab:?} {cell:?}");
                coloured += usize::from(cell.fg != Color::Reset);
            }
        }
        assert_eq!(coloured > 0, colors != Colors::None);
    }
}

#[test]
fn a_run_under_way_is_left_only_after_a_question() {
    let (_, view, now) = states().swap_remove(1);
    let mut own = app(&view, now, Colors::True, false);
    assert_eq!(letters(&mut own, "qd"), [InputRequest::None, InputRequest::Detach]);
    assert_eq!(letters(&mut own, "qx"), [InputRequest::None, InputRequest::None]);
    assert_eq!(letters(&mut own, "cy"), [InputRequest::None, InputRequest::Cancel { abandon: false }]);
    assert!(own.control.cancelling);
    assert_eq!(letters(&mut own, "ca"), [InputRequest::None, InputRequest::Cancel { abandon: true }]);
    assert_eq!(letters(&mut own, "r"), [InputRequest::Retry]);
    let mut watch = App::new(view.clone(), own.theme, Mode::Watch);
    assert_eq!(
        letters(&mut watch, "q"),
        [InputRequest::Quit { keep: false }],
        "another process goes on by itself"
    );
    assert_eq!(letters(&mut watch, "p"), [InputRequest::None]);
    assert!(watch.control.said.as_ref().is_some_and(|said| said.contains("only its own controller")));
    let (_, over, now) = states().swap_remove(3);
    assert_eq!(over.progress.phase, RunPhase::Finished);
    let mut own = app(&over, now, Colors::True, false);
    assert_eq!(letters(&mut own, "Q"), [InputRequest::Quit { keep: true }]);
    letters(&mut own, "c");
    assert_eq!((own.popup, own.control.said.as_deref()), (None, Some("the run is over")));
}

#[test]
fn filters_sorting_and_failures_only() {
    let (_, view, now) = states().swap_remove(1);
    let mut app = app(&view, now, Colors::True, false);
    letters(&mut app, "4");
    let all = super::panes::rows(&app);
    letters(&mut app, "/lost");
    press(&mut app, KeyCode::Enter);
    assert_eq!(super::panes::rows(&app), 2);
    letters(&mut app, "/");
    (0..4).for_each(|_| {
        press(&mut app, KeyCode::Backspace);
    });
    letters(&mut app, "!lost");
    press(&mut app, KeyCode::Enter);
    assert_eq!(super::panes::rows(&app), all - 2, "a filter that begins with ! is turned round");
    press(&mut app, KeyCode::Esc);
    assert_eq!(super::panes::rows(&app), all);
    letters(&mut app, "e");
    assert_eq!(super::panes::rows(&app), 5, "two lost, two out of memory, one turned away");
    letters(&mut app, "es");
    assert_eq!(app.control.said.as_deref(), Some("sorted by seconds"));
    let longest = buffer_text(&screen(&app, (120, 40)));
    letters(&mut app, "S");
    assert_ne!(longest, buffer_text(&screen(&app, (120, 40))), "the other way round");
}

#[test]
fn a_frozen_screen_stays_while_the_run_goes_on() {
    let (_, view, now) = states().swap_remove(1);
    let mut app = app(&view, now, Colors::True, false);
    letters(&mut app, "f");
    let before = buffer_text(&screen(&app, (120, 40)));
    app.apply(now + 1.0, &RunEvent::Finished);
    app.set_now(now + 5.0);
    assert_eq!(before, buffer_text(&screen(&app, (120, 40))));
    letters(&mut app, "f");
    assert!(buffer_text(&screen(&app, (120, 40))).contains("finished"));
}

#[test]
fn the_mouse_finds_tabs_panes_and_rows() {
    let (_, view, now) = states().swap_remove(1);
    let mut app = app(&view, now, Colors::True, false);
    let area = Rect::new(0, 0, 120, 40);
    let click = |app: &mut App, column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        app.mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }, area)
    };
    click(&mut app, 5, 10);
    assert_eq!(app.tab, Tab::Stages, "a pane of the overview opens");
    click(&mut app, 5, 8);
    assert_eq!(app.selected_row(), 2, "the third row below frame and head");
    let (_, _, from, _) = super::layout::tab_words(120).remove(7);
    click(&mut app, from + 1, 3);
    assert_eq!(app.tab, Tab::Log);
    let wheel =
        MouseEvent { kind: MouseEventKind::ScrollDown, column: 1, row: 9, modifiers: KeyModifiers::NONE };
    app.mouse(wheel, area);
    assert_eq!(app.selected_row(), 3);
}

#[test]
fn a_replay_goes_back_to_what_it_showed() {
    let name = "20261121-103012-kqzt";
    let mut player = Player::new(name, events().into_iter().map(|(at, event)| (BEGIN + at, event)).collect());
    let theme = Theme { colors: Colors::True, ascii: false };
    let mut app = App::new(RunView::new(name), theme, Mode::Replay { speed: 1.0, paused: false });
    player.advance(&mut app, 0.0);
    player.advance(&mut app, 3.0);
    let before = buffer_text(&screen(&app, (120, 40)));
    player.advance(&mut app, 100.0);
    assert_ne!(before, buffer_text(&screen(&app, (120, 40))));
    player.advance(&mut app, -(player.seconds() - 3.0));
    assert_eq!(before, buffer_text(&screen(&app, (120, 40))));
    assert_eq!(press(&mut app, KeyCode::Left), InputRequest::Seek(-5.0));
    assert_eq!(letters(&mut app, "+ "), [InputRequest::Speed(2.0), InputRequest::ReplayPause]);
}

#[test]
fn a_picture_has_every_line_of_its_screen() {
    let (_, view, now) = states().swap_remove(3);
    let app = app(&view, now, Colors::True, false);
    let buffer = screen(&app, (120, 40));
    let svg = super::picture::svg(&buffer);
    assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    for part in ["finished", "gram", "influence", "Cells: cohort x period"] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(buffer.content().iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

fn any_event() -> impl Strategy<Value = RunEvent> {
    prop_oneof![
        Just(RunEvent::Planned { specs: vec![outline()] }),
        (0..4u64, 0..9usize).prop_map(|(number, tasks)| RunEvent::StageStarted {
            number,
            stage: format!("stage {number}"),
            tasks,
            object: None
        }),
        (0..20u64, 0..3u32, any::<bool>())
            .prop_map(|(a, number, backup)| invoked(a, "shard 1", number, backup)),
        (0..20u64, 0.0..9.0, 0..9usize).prop_map(|(a, took, d)| done(a, took, d, 9)),
        (0..20u64).prop_map(|a| failed(a, FailureClass::Lost, "gone", "again")),
        (0..4u64).prop_map(|number| RunEvent::StageDone { number, stage: "x".into(), seconds: 1.0 }),
        Just(estimated()),
        Just(RunEvent::Opened { version: "x".into() }),
        Just(summary(RunState::Running, 0.1)),
        Just(RunEvent::Finished),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes, in whatever order, whatever is pressed, on whatever screen: a frame is drawn.
    #[test]
    fn no_run_no_key_and_no_size_is_too_much(
        events in proptest::collection::vec((0.0..100.0, any_event()), 0..60),
        keys in proptest::collection::vec(0..super::keys::BINDINGS.len(), 0..40),
        width in 1u16..220,
        height in 1u16..70,
    ) {
        let theme = Theme { colors: Colors::True, ascii: false };
        let mut app = App::new(RunView::new("any"), theme, Mode::Run);
        for (at, event) in &events {
            app.apply(*at, event);
        }
        for key in keys {
            if let Some(super::keys::Key::Char(c)) = super::keys::BINDINGS[key].keys.first() {
                app.key(KeyEvent::new(KeyCode::Char(*c), KeyModifiers::NONE), Rect::new(0, 0, width, height));
            } else {
                app.tab = Tab::ALL[key % Tab::ALL.len()];
            }
            let _ = screen(&app, (width, height));
        }
        let _ = screen(&app, (width, height));
    }
}

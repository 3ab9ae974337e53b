//! docs/scale.md is what the simulation gives.

use stagger_tests::cli::workspace;
use stagger_tests::scale::report::page;

#[test]
fn the_page_of_runs_at_scale_is_what_the_simulation_gives() {
    let page = page();
    let written = std::fs::read_to_string(workspace().join("docs/scale.md")).expect("docs/scale.md");
    assert!(
        page == written,
        "docs/scale.md differs from the simulation: `cargo run --release -p stagger-tests --example scale -- --write` writes it anew"
    );
    let line = page.lines().find(|line| line.starts_with("| (a)")).expect("a scenario");
    assert!(line.contains("0.06 ✓"), "{line}");
}

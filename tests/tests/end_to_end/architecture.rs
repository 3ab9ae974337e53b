//! `docs/architecture.md` describes the code as it is: the rooms and what they use, and the items that its walks name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex::Regex;
use stagger_tests::cli::workspace;

fn page() -> String {
    fs::read_to_string(workspace().join("docs/architecture.md")).expect("docs/architecture.md")
}

/// The rooms that a manifest names as its dependencies, in alphabetical order.
fn used(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let room = Regex::new(r"(?m)^stagger-([a-z-]+)").expect("an expression");
    let mut rooms: Vec<String> = room.captures_iter(section).map(|found| found[1].to_owned()).collect();
    rooms.sort();
    rooms
}

/// Items of Rust sources that a Markdown text links to, as `` [`path::item`](file) ``: item and file.
fn items(text: &str) -> Vec<(String, String)> {
    let link = Regex::new(r"\[`(?:\w+::)*(\w+)`\]\(([^)]+\.rs)\)").expect("an expression");
    link.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

fn declares(source: &str, item: &str) -> bool {
    let declaration = format!(r"\b(?:fn|struct|enum|trait|type|const|static) {item}\b");
    Regex::new(&declaration).expect("an expression").is_match(source)
}

#[test]
fn the_table_of_rooms_is_that_of_the_manifests() {
    let row = Regex::new(r"(?m)^\| `([a-z-]+)` \|.*\| ([a-z, -]*)\|$").expect("an expression");
    let page = page();
    let table = page.split("\n## The rooms\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let told: BTreeMap<String, Vec<String>> = row
        .captures_iter(table.expect("a section `The rooms`"))
        .map(|found| {
            let rooms = found[2].split(',').map(str::trim).filter(|room| !room.is_empty());
            (found[1].to_owned(), rooms.map(str::to_owned).collect())
        })
        .collect();
    let crates = fs::read_dir(workspace().join("crates")).expect("crates");
    let real: BTreeMap<String, Vec<String>> = crates
        .map(|entry| {
            let entry = entry.expect("a crate");
            let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).expect("a manifest");
            (entry.file_name().into_string().expect("a name in UTF-8"), used(&manifest))
        })
        .collect();
    assert_eq!(told, real, "docs/architecture.md, `The rooms`");
}

#[test]
fn every_item_of_the_walks_is_in_its_file() {
    let items = items(&page());
    let docs = workspace().join("docs");
    let missing: Vec<String> = items
        .iter()
        .filter(|(item, file)| {
            let source = fs::read_to_string(docs.join(Path::new(file))).unwrap_or_default();
            !declares(&source, item)
        })
        .map(|(item, file)| format!("`{item}` is not in {file}"))
        .collect();
    assert!(missing.is_empty(), "docs/architecture.md:\n{}", missing.join("\n"));
    assert!(items.len() > 50, "{} items: the finder misses some", items.len());
}

#[test]
fn an_item_that_has_moved_is_found() {
    let text = "[`a::Run::next`](../b.rs), [`Run`](c.rs)s, [run](d.rs), [`x`](e.md)";
    let pairs = [("next", "../b.rs"), ("Run", "c.rs")];
    assert_eq!(items(text), pairs.map(|(item, file)| (item.to_owned(), file.to_owned())));
    assert!(declares("pub(super) fn next(", "next"));
    assert!(!declares("pub fn next_one(next: u8)", "next"));
    assert_eq!(
        used(
            "[package]\n\n[dependencies]\nstagger-b.workspace = true\nlibm = \"1\"\nstagger-a = {}\n\n[lints]\nstagger-c = 1\n"
        ),
        ["a", "b"]
    );
}

//! Citations of the specification (`FORMULAS §3.2`, `DESIGN §5`, `PLATFORM §2.1`) and links between documents lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use stagger_tests::cli::workspace;

/// Folders that hold no sources: what is built, and what tests write.
const SKIPPED: [&str; 4] = ["target", "out", "node_modules", "__pycache__"];

/// Hidden folders that hold sources.
const HIDDEN: [&str; 2] = [".ci", ".github"];

/// Endings of the files that are read; files without one are scripts.
const READ: [&str; 13] = ["rs", "md", "py", "sh", "cu", "cuh", "h", "toml", "yml", "yaml", "txt", "tex", ""];

/// Works that are cited by section and are not ours.
const FOREIGN: [&str; 1] = ["Starling"];

/// Pieces of a page that lies elsewhere: their links are checked there.
const PIECES: [&str; 2] = ["tests/src/scale/head.md", "tests/src/scale/tail.md"];

/// Numbers of the sections of each document, by the name under which it is cited.
type Sections = BTreeMap<&'static str, BTreeSet<String>>;

fn root() -> PathBuf {
    workspace().canonicalize().expect("the repository")
}

/// Texts of the repository by path from its root.
fn texts() -> BTreeMap<String, String> {
    let (root, mut out) = (root(), BTreeMap::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = entry.path();
            let kind = entry.file_type().expect("a type of file");
            if kind.is_dir()
                && !SKIPPED.contains(&&*name)
                && (!name.starts_with('.') || HIDDEN.contains(&&*name))
            {
                folders.push(path);
            } else if kind.is_file()
                && READ.contains(&path.extension().and_then(|end| end.to_str()).unwrap_or_default())
                && let Ok(text) = String::from_utf8(fs::read(&path).expect("a file of the repository"))
            {
                let from_root = path.strip_prefix(&root).expect("a path below the root");
                out.insert(from_root.to_str().expect("a path in UTF-8").to_owned(), text);
            }
        }
    }
    out
}

/// Lines of a Markdown text outside of fenced blocks, with their numbers from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.map(|(at, line)| (at + 1, line)).collect()
}

fn headings(text: &str) -> Vec<&str> {
    let heading = Regex::new(r"^#{1,6} +(.*)$").expect("an expression");
    prose(text).into_iter().filter_map(|(_, line)| Some(heading.captures(line)?.get(1)?.as_str())).collect()
}

fn sections(texts: &BTreeMap<String, String>) -> Sections {
    let number = Regex::new(r"^(\d+(?:\.\d+)*)\.? ").expect("an expression");
    let numbers = |name| {
        let text = &texts[&format!("docs/spec/{name}.md")];
        headings(text)
            .into_iter()
            .filter_map(|heading| Some(number.captures(heading)?[1].to_owned()))
            .collect()
    };
    [("FORMULAS", "formulas"), ("DESIGN", "design"), ("PLATFORM", "platform")]
        .map(|(cited, name)| (cited, numbers(name)))
        .into()
}

/// Citations in a text that lead nowhere. A § without a name belongs to `own`, or else to the document that was named last before it.
fn wrong_citations(text: &str, own: Option<&str>, sections: &Sections) -> Vec<String> {
    let token = Regex::new(
        r"\b(?<gone>AWS|FORMULAS|DESIGN)\.md\b|(?:\b(?<cited>[A-Z]{2,}|Starling) )?§(?<from>\d+(?:\.\d+)*)(?:[–-]§?(?<to>\d+(?:\.\d+)*))?|\b(?<named>[A-Z]{2,}|Starling)\b",
    )
    .expect("an expression");
    let (mut named, mut out) = (own, Vec::new());
    for (at, line) in text.lines().enumerate() {
        let mut current = own.or(named);
        let mut wrong = |what: String| out.push(format!("line {}: {what}", at + 1));
        for found in token.captures_iter(line) {
            if let Some(name) = found.name("gone") {
                wrong(format!("`{}.md` is no document: the specification is docs/spec", name.as_str()));
            }
            let cited = found.name("cited").map(|name| name.as_str());
            if let Some(name) = cited.or(found.name("named").map(|name| name.as_str())) {
                if let Some((known, _)) = sections.get_key_value(name) {
                    (current, named) = (Some(*known), Some(*known));
                } else if FOREIGN.contains(&name) {
                    current = Some(FOREIGN[0]);
                } else if cited.is_some() {
                    wrong(format!("`{name}` is no document of docs/spec"));
                    continue;
                }
            }
            for number in ["from", "to"].into_iter().filter_map(|group| found.name(group)) {
                let number = number.as_str();
                match current.map(|name| (name, sections.get(name))) {
                    None => wrong(format!("§{number} of which document?")),
                    Some((name, Some(known))) if !known.contains(number) => {
                        wrong(format!("{name} has no §{number}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    out
}

/// The anchor that a heading has on GitHub.
fn anchor(heading: &str) -> String {
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").expect("an expression");
    let plain = link.replace_all(heading.trim(), "$1").to_lowercase();
    let kept = plain.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// All anchors of a document; a heading that is there again gets a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut each = |heading: &str| {
        let name = anchor(heading);
        let before = seen.entry(name.clone()).or_default();
        *before += 1;
        if *before == 1 { name } else { format!("{name}-{}", *before - 1) }
    };
    headings(text).into_iter().map(&mut each).collect()
}

/// Targets of the links of a Markdown text within the repository, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let code = Regex::new(r"`[^`]*`").expect("an expression");
    let link =
        Regex::new(r#"\]\(<?([^)\s>]+)|(?:src|href)="([^"]+)"|^\[[^\]]+\]: +(\S+)"#).expect("an expression");
    let mut out = Vec::new();
    for (at, line) in prose(text) {
        let line = code.replace_all(line, "`code`");
        for found in link.captures_iter(&line) {
            let target = found.iter().skip(1).flatten().next().expect("a target").as_str();
            if !target.contains("://") && !target.starts_with("mailto:") {
                out.push((at, target.to_owned()));
            }
        }
    }
    out
}

/// What is wrong with a link's target in a document at `path`, a path from `root`.
fn wrong_link(root: &Path, path: &str, target: &str) -> Option<String> {
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let here = Path::new(path);
    let there = match file {
        "" => root.join(here),
        file => root.join(here.parent().unwrap_or(Path::new(""))).join(file),
    };
    let Ok(there) = there.canonicalize().map_err(drop) else {
        return Some(format!("no file `{file}`"));
    };
    if !there.starts_with(root) {
        return Some(format!("`{file}` is not in the repository"));
    }
    let is_document = there.extension().is_some_and(|end| end == "md");
    if fragment.is_empty() || !is_document {
        return None;
    }
    let text = fs::read_to_string(&there).expect("a document");
    (!anchors(&text).contains(fragment)).then(|| format!("`{file}` has no heading `#{fragment}`"))
}

#[test]
fn every_citation_names_a_section_of_the_specification() {
    let texts = texts();
    let sections = sections(&texts);
    let own = |path: &str| match path {
        "docs/spec/formulas.md" => Some("FORMULAS"),
        "docs/spec/design.md" => Some("DESIGN"),
        "docs/spec/platform.md" => Some("PLATFORM"),
        _ => None,
    };
    let wrong: Vec<String> = texts
        .iter()
        .flat_map(|(path, text)| {
            let all = wrong_citations(text, own(path), &sections);
            all.into_iter().map(move |what| format!("{path}, {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let citing = texts.values().filter(|text| text.contains("FORMULAS \u{a7}")).count();
    assert!(citing > 30, "citations in {citing} files: the finder misses some");
}

#[test]
fn a_citation_that_leads_nowhere_is_found() {
    let sections: Sections = [
        ("FORMULAS", ["1", "1.2", "2", "2.4"].map(str::to_owned).into()),
        ("DESIGN", ["1"].map(str::to_owned).into()),
    ]
    .into();
    let wrong = |text: &str, own| wrong_citations(&text.replace("par ", "\u{a7}"), own, &sections);
    for good in [
        "FORMULAS par 2.4, par 1\u{2013}2: see par 1.2.",
        "DESIGN par 1 and FORMULAS par 2.4",
        "FORMULAS\nfirst (par 2.4)",
        "FORMULAS par 1, Starling par 9.9, par 8",
        "the RC path, without a citation",
    ] {
        assert_eq!(wrong(good, None), [""; 0], "{good}");
    }
    assert_eq!(wrong("as in par 2.4", Some("FORMULAS")), [""; 0]);
    assert_eq!(wrong("\nFORMULAS par 9.9", None), ["line 2: FORMULAS has no \u{a7}9.9"]);
    assert_eq!(wrong("DESIGN par 1, par 2", None), ["line 1: DESIGN has no \u{a7}2"]);
    assert_eq!(wrong("FORMULAS par 1.2-1.3", None), ["line 1: FORMULAS has no \u{a7}1.3"]);
    assert_eq!(wrong("FORMULAS par 1; Starling par 4\npar 4", None), ["line 2: FORMULAS has no \u{a7}4"]);
    assert_eq!(wrong("as in par 2.4", None), ["line 1: \u{a7}2.4 of which document?"]);
    assert_eq!(wrong("FORMULAS, then NOTES par 1", None), ["line 1: `NOTES` is no document of docs/spec"]);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = root();
    let documents =
        texts().into_iter().filter(|(path, _)| path.ends_with(".md") && !PIECES.contains(&&**path));
    let mut followed = 0;
    let mut wrong = Vec::new();
    for (path, text) in documents {
        for (line, target) in links(&text) {
            followed += 1;
            wrong
                .extend(wrong_link(&root, &path, &target).map(|what| format!("{path}, line {line}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(followed > 100, "{followed} links: the finder misses some");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let text = "# Top\n\n## A `b`: c\n\n## Top\n[a](x.md) [b](y.md#z \"t\") ![c](<p.svg>) `[d](e)` [f](https://g.h)\n```\n[i](j)\n```\n[k]: l.md";
    let targets: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets, ["x.md", "y.md#z", "p.svg", "l.md"]);
    assert_eq!(anchors(text), ["top", "a-b-c", "top-1"].map(str::to_owned).into());
    let wrong = |target| wrong_link(&root(), "docs/spec/README.md", target);
    assert_eq!(wrong("formulas.md#31-propensity-score"), None);
    assert_eq!(wrong("#specification"), None);
    assert_eq!(wrong("../decisions"), None);
    assert_eq!(wrong("made-up.md").as_deref(), Some("no file `made-up.md`"));
    assert_eq!(
        wrong("formulas.md#99-made-up").as_deref(),
        Some("`formulas.md` has no heading `#99-made-up`")
    );
    assert_eq!(wrong("../../..").as_deref(), Some("`../../..` is not in the repository"));
}

/// Documents that sources, scripts and texts name by their path exist.
#[test]
fn every_document_that_is_named_exists() {
    let named = Regex::new(r"(?:^|[^\w/.-])(docs/[\w/-]+\.md)\b").expect("an expression");
    let root = root();
    let mut wrong = Vec::new();
    // The platform's page names documents of other projects.
    for (path, text) in texts().into_iter().filter(|(path, _)| path != "docs/spec/platform.md") {
        for found in named.captures_iter(&text) {
            if !root.join(&found[1]).exists() {
                wrong.push(format!("{path}: no document `{}`", &found[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table of the specification names modules of the estimator by their path.
#[test]
fn the_modules_of_the_table_exist() {
    let texts = texts();
    let source =
        texts.keys().find_map(|path| path.strip_suffix("estimator/src/lib.rs")).expect("the estimator");
    let module = Regex::new(r"`estimator::([a-z_:]+)`").expect("an expression");
    let table = &texts["docs/spec/README.md"];
    let modules: BTreeSet<String> =
        module.captures_iter(table).map(|found| found[1].replace("::", "/")).collect();
    let missing: Vec<&String> = modules
        .iter()
        .filter(|name| {
            let file = format!("{source}estimator/src/{name}");
            !texts.contains_key(&format!("{file}.rs")) && !texts.contains_key(&format!("{file}/mod.rs"))
        })
        .collect();
    assert!(missing.is_empty(), "no modules {missing:?} of the estimator");
    assert!(modules.len() > 12, "{modules:?}");
}

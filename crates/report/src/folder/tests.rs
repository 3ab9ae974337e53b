//! Places that are refused, and replacements that are cut after each of their changes.

use std::os::unix::fs::symlink;

use super::*;

fn put(part: &StagedResult, name: &str, text: &str) {
    part.write(name, |mut file| {
        file.write_all(text.as_bytes())?;
        Ok(file)
    })
    .unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = file_names(folder).unwrap();
    names.sort();
    names
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// A result of these files in a folder, the way a run saves it; the content of each is `mark`.
fn save(target: &Path, files: &[&str], mark: &str) {
    staged(target, files, mark).commit().unwrap();
}

fn staged(target: &Path, files: &[&str], mark: &str) -> StagedOutput {
    let staging = StagedOutput::prepare(target, &[]).unwrap();
    files.iter().for_each(|name| put(&staging.parts()[0], name, mark));
    staging
}

fn refused(target: &Path, names: &[&str], root: &Path) -> String {
    let failure = StagedOutput::prepare(target, names).expect_err("refused");
    failure.to_string().replace(&root.display().to_string(), "DIR")
}

const OLD: [&str; 4] = ["att_gt.csv", "draws.parquet", RESULT, "run.json"];
const NEW: [&str; 4] = ["aggte_dynamic.csv", "att_gt.csv", RESULT, "run.json"];

/// The mark of all files of the result in a folder: there must be but one, and no file of another result.
fn whole(folder: &Path) -> String {
    finish_commit(folder).unwrap();
    let mark = text(folder.join(RESULT));
    let files = if mark == "old" { OLD } else { NEW };
    for name in names(folder).into_iter().filter(|name| is_result_file(name)) {
        assert!(files.contains(&name.as_str()), "{name} beside the {mark} result");
        assert_eq!(text(folder.join(&name)), mark, "{name}");
    }
    assert!(files.iter().all(|name| folder.join(name).is_file()), "{:?}", names(folder));
    mark
}

#[test]
fn folder_appears_only_when_committed() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("deep/er/out");
    let staging = staged(&target, &[RESULT], "{}");
    assert!(!target.exists());
    staging.commit().unwrap();
    assert_eq!(names(&target), [CHECKSUMS, RESULT]);
    assert_eq!(names(target.parent().unwrap()), ["out"]);
}

#[test]
fn an_abandoned_folder_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    drop(staged(&root.path().join("deep/er/out"), &[RESULT], ""));
    assert!(names(root.path()).is_empty());
}

#[test]
fn an_earlier_result_is_replaced_and_the_rest_stays() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("out");
    save(&target, &OLD, "old");
    fs::create_dir_all(target.join("figures/draft")).unwrap();
    for (name, content) in [("notes.txt", "notes"), ("figures/a.pdf", "a"), ("figures/draft/b", "b")] {
        fs::write(target.join(name), content).unwrap();
    }
    symlink("notes.txt", target.join("link")).unwrap();
    let before = fs::metadata(target.join("notes.txt")).unwrap().ino();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o750)).unwrap();
    save(&target, &NEW, "new");
    assert_eq!(whole(&target), "new");
    assert_eq!(fs::metadata(target.join("notes.txt")).unwrap().ino(), before, "the same file, not a copy");
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(
        ["notes.txt", "figures/a.pdf", "figures/draft/b"].map(|name| text(target.join(name))),
        ["notes", "a", "b"]
    );
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("notes.txt"));
    assert_eq!(names(root.path()), ["out"]);
}

/// Dies after every number of changes until the replacement is through: the folder is the old result or the new one.
fn cut_everywhere(prepare: impl Fn(&Path) -> StagedOutput) {
    let mut seen = Vec::new();
    for changes in 0.. {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        save(&target, &OLD, "old");
        fs::create_dir(target.join("figures")).unwrap();
        fs::write(target.join("figures/a.pdf"), "mine").unwrap();
        fs::write(target.join("notes.txt"), "mine").unwrap();
        let mut staging = prepare(&target);
        staging.disk = Disk::failing_after(changes);
        checksums::write(&staging.parts[0].staged).unwrap();
        let done = staging.put().is_ok();
        let through = staging.disk.left.as_ref().is_some_and(|left| left.get() > 0);
        // What a killed process can't do, and what its end does: locks go, everything else stays.
        drop(std::mem::take(&mut staging.locks));
        std::mem::forget(staging);

        let mark = whole(&target);
        assert!(!done || mark == "new", "{changes} changes");
        assert_eq!([text(target.join("notes.txt")), text(target.join("figures/a.pdf"))], ["mine", "mine"]);
        seen.push(mark);
        // The next run is not hindered, and clears what is left.
        save(&target, &NEW, "next");
        assert_eq!(text(target.join(RESULT)), "next");
        assert_eq!(names(root.path()), ["out"], "after {changes} changes");
        assert!(names(&target).iter().all(|name| !name.starts_with(OWN)), "{:?}", names(&target));
        assert_eq!([text(target.join("notes.txt")), text(target.join("figures/a.pdf"))], ["mine", "mine"]);
        if done && through {
            break;
        }
    }
    seen.dedup();
    assert_eq!(seen, ["old", "new"], "first the old result, from one change on the new one");
}

#[test]
fn a_kill_leaves_the_old_result_or_the_new_one() {
    cut_everywhere(|target| staged(target, &NEW, "new"));
}

#[test]
fn a_kill_within_a_folder_that_stays_leaves_the_old_result_or_the_new_one() {
    cut_everywhere(|target| {
        let mut staging = StagedOutput::prepare(target, &[]).unwrap();
        staging.move_inside().unwrap();
        staging.parts = staging.make_parts().unwrap();
        NEW.iter().for_each(|name| put(&staging.parts()[0], name, "new"));
        staging
    });
}

#[test]
fn several_folders_appear_together() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("out");
    let staging = StagedOutput::prepare(&target, &["a", "b"]).unwrap();
    for part in staging.parts() {
        put(part, RESULT, "first");
        put(part, "draws.parquet", "");
    }
    assert!(!target.exists());
    staging.commit().unwrap();
    assert_eq!(names(&target), ["a", "b"]);

    // One of them again, and a new one: the other stays, and so does a note.
    fs::write(target.join("b/notes.txt"), "mine").unwrap();
    for inside in [false, true] {
        let mut staging = StagedOutput::prepare(&target, &["b", "c"]).unwrap();
        if inside {
            staging.move_inside().unwrap();
            staging.parts = staging.make_parts().unwrap();
        }
        for part in staging.parts() {
            put(part, RESULT, if inside { "third" } else { "second" });
        }
        staging.commit().unwrap();
        let result = |name: &str| text(target.join(name).join(RESULT));
        let again = if inside { "third" } else { "second" };
        assert_eq!(["a", "b", "c"].map(result), ["first", again, again]);
        assert_eq!(names(&target.join("a")), [CHECKSUMS, "draws.parquet", RESULT]);
        assert_eq!(names(&target.join("b")), [CHECKSUMS, "notes.txt", RESULT]);
        assert_eq!(
            (names(root.path()), names(&target)),
            (vec!["out".to_owned()], ["a", "b", "c"].map(str::to_owned).to_vec())
        );
    }
    drop(StagedOutput::prepare(&root.path().join("other"), &["a"]).unwrap());
    assert_eq!(names(root.path()), ["out"]);
}

#[test]
fn several_results_go_to_a_folder_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    save(&root.path().join("one"), &[RESULT], "");
    fs::create_dir_all(root.path().join("all/a")).unwrap();
    fs::write(root.path().join("all/a/thesis.tex"), "").unwrap();
    save(&root.path().join("all/b"), &[RESULT], "");
    let all =
        ["one", "all", "all/a/thesis.tex"].map(|name| refused(&root.path().join(name), &["a"], root.path()));
    insta::assert_snapshot!(all.concat(), @"
    error: --out DIR/one is not empty and holds no folder of an earlier result
    hint: several specifications are saved in a folder each: give a new folder for them
    error: --out DIR/all/a is not empty and holds no earlier result
    hint: give a new folder, or one with a result.json to replace
    error: --out DIR/all/a/thesis.tex is a file, not a folder
    hint: give a new folder
    ");
}

#[test]
fn a_folder_has_many_names() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("out");
    fs::create_dir(&target).unwrap();
    symlink("out", root.path().join("link")).unwrap();
    for (given, mark) in ["out", "out/", "out/.", "link", "link/", "out/../out/./", "./out"].iter().zip(0..) {
        save(&root.path().join(given), &NEW, &format!("new {mark}"));
        assert_eq!(text(target.join(RESULT)), format!("new {mark}"), "{given}");
    }
    assert!(fs::symlink_metadata(root.path().join("link")).unwrap().is_symlink());
    save(&root.path().join("fresh/."), &NEW, "new");
    save(&root.path().join("a/../b/"), &NEW, "new");
    assert_eq!(names(&root.path().join("b")).len(), NEW.len() + 1);
}

#[test]
fn an_empty_folder_is_taken_and_stays_itself_in_name_and_rights() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
    save(root.path(), &[RESULT], "{}");
    assert_eq!(names(root.path()), [CHECKSUMS, RESULT]);
    assert_eq!(fs::metadata(root.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn foreign_folders_files_and_links_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("thesis.tex"), "").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    save(&at("folder"), &OLD, "old");
    fs::remove_file(at("folder/run.json")).unwrap();
    fs::create_dir_all(at("folder/run.json/x")).unwrap();
    save(&at("other"), &NEW, "old");
    fs::write(at("other/draws.parquet"), "mine").unwrap();
    fs::create_dir(at("theirs")).unwrap();
    fs::write(at("theirs/result.json"), "{\"x\": 1}").unwrap();
    let places = [
        "",
        "thesis.tex",
        "thesis.tex/out",
        "dangling",
        "dangling/.",
        "folder",
        "other",
        "theirs",
        "/dev/null",
    ];
    let all = places.map(|name| refused(&at(name), &[], root.path()));
    let all = all.concat()
        + &refused(Path::new("gs://bucket/x"), &[], root.path())
        + &refused(Path::new("none/.."), &[], root.path());
    insta::assert_snapshot!(all, @r#"
        error: --out DIR/ is not empty and holds no earlier result
        hint: give a new folder, or one with a result.json to replace
        error: --out DIR/thesis.tex is a file, not a folder
        hint: give a new folder
        error: --out DIR/thesis.tex/out leads through a file
        hint: give a new folder
        error: --out DIR/dangling is a link to nowhere, which is not there
        hint: make that folder, or remove the link
        error: --out DIR/dangling/. is a link to nowhere, which is not there
        hint: make that folder, or remove the link
        error: --out DIR/folder: DIR/folder/run.json is a folder, where a file of the result goes
        hint: move it elsewhere, or give a new folder
        error: --out DIR/other: DIR/other/draws.parquet is not of the earlier result, and would be replaced
        hint: move it elsewhere, or give a new folder
        error: --out DIR/theirs: DIR/theirs/result.json was not written by stagger
        hint: move it elsewhere, or give a new folder
        error: --out /dev/null is no folder
        hint: give a new folder
        error: --out gs://bucket/x: no kind of place is called "gs"
        hint: give a folder, or s3://BUCKET/PREFIX
        error: --out none/.. names no folder
        hint: give a new folder
        "#);
    assert_eq!(names(root.path()), ["dangling", "folder", "other", "theirs", "thesis.tex"]);
    assert_eq!(text(at("other/draws.parquet")), "mine");
}

#[test]
fn the_second_of_two_runs_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("out");
    symlink("out", root.path().join("link")).unwrap();
    for there in [false, true] {
        let first = staged(&target, &NEW, "new");
        let text = refused(&target.join("."), &[], root.path());
        assert!(
            text.starts_with("error: --out DIR/out/. is being written by another run (process "),
            "{text}"
        );
        if there {
            let text = refused(&root.path().join("link"), &[], root.path());
            assert!(text.contains("is being written by another run"), "{text}");
        }
        first.commit().unwrap();
        assert_eq!(names(root.path()), ["link", "out"]);
    }
    save(&target, &NEW, "next");
}

/// A bind mount is the same folder under a name that shows nothing of it: only the folder's own lock tells.
#[test]
fn a_folder_is_locked_by_itself_too() {
    let root = tempfile::tempdir().unwrap();
    save(root.path(), &NEW, "new");
    let held = Lock::folder(root.path(), root.path()).unwrap();
    let text = refused(root.path(), &[], root.path());
    assert!(held.is_some() && text.contains("DIR is being written by another run"), "{text}");
}

#[test]
fn what_killed_runs_have_left_is_no_hindrance() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("out");
    let at = |name: &str| root.path().join(name);
    for name in [".out.1234.partial", ".out.0123456789abcdef.partial"] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join(RESULT), "half").unwrap();
    }
    fs::create_dir(at(".out.beef.partial")).unwrap();
    fs::write(at(".out.beef.partial/thesis.tex"), "mine").unwrap();
    for name in [".out.mine.partial", ".output.12.partial"] {
        fs::create_dir(at(name)).unwrap();
    }
    save(&target, &NEW, "new");
    assert_eq!(names(root.path()), [".out.beef.partial", ".out.mine.partial", ".output.12.partial", "out"]);
    // What is no result's is put where the result is.
    save(&target, &NEW, "new");
    assert_eq!(names(root.path()), [".out.mine.partial", ".output.12.partial", "out"]);
    assert_eq!((whole(&target), text(target.join("thesis.tex"))), ("new".to_owned(), "mine".to_owned()));
}

#[test]
fn a_folder_that_is_another_one_at_the_end_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("out");
    save(&target, &OLD, "old");
    let staging = staged(&target, &NEW, "new");
    fs::rename(&target, root.path().join("moved")).unwrap();
    fs::create_dir(&target).unwrap();
    let text = staging.commit().unwrap_err().to_string();
    assert!(text.contains("is another folder now"), "{text}");
    assert!(names(&target).is_empty() && whole(&root.path().join("moved")) == "old");
}

#[test]
fn a_disk_without_room_is_found_at_once() {
    let root = tempfile::tempdir().unwrap();
    let staging = StagedOutput::prepare(&root.path().join("out"), &[]).unwrap();
    staging.check_room(1).unwrap();
    let text = staging.check_room(u64::MAX).unwrap_err().to_string();
    assert!(text.contains("the result takes 18446744073709.6 MB at least"), "{text}");
    let failure = staging.parts()[0]
        .write("att_gt.csv", |_| {
            let mut full = File::options().write(true).open("/dev/full")?;
            full.write_all(b"1")?;
            Ok(full)
        })
        .expect_err("full");
    assert!(failure.to_string().contains("att_gt.csv: no space left on device"), "{failure}");
}

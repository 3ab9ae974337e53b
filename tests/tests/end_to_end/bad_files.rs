//! Bad files, full disks, interrupts and senseless formulas: a named error, never a panic, nothing half-written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stagger_test_support::panels::{COLUMNS, Panel};
use stagger_test_support::tables::{
    numbers, rows, texts, with_column, with_type, without_column, write_parquet, write_parquet_with,
};
use stagger_tests::cli::{self, command, estimate_args, note, path_str, words};
use stagger_tests::layouts::encodings;
use stagger_tests::spoiled::Spoiled;

#[test]
fn empty_inputs() {
    let case = Spoiled::new();
    fs::write(case.path(), "").expect("an empty file");
    case.refused_path(&case.path(), &["panel.parquet", "empty"]);
    case.refused(&rows(&case.panel, []), "", &["no rows"]);
    let csv = case.inside("panel.csv");
    fs::write(&csv, "id,time,group,y\n").expect("a small file");
    case.refused_path(&csv, &["no rows"]);
    fs::write(&csv, "").expect("an empty file");
    case.refused_path(&csv, &["panel.csv", "empty"]);
}

#[test]
fn damaged_parquet() {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    let whole = fs::read(case.path()).expect("the file just written");
    let half = &whole[..whole.len() / 2];
    let text = b"id,time,group,y\n1,1,0,0.5\n".as_slice();
    for (bytes, what) in [(half, "truncated"), (&whole[..6], "six bytes"), (text, "CSV under another name")] {
        fs::write(case.path(), bytes).expect("a small file");
        let output = case.run_on(&case.path(), "");
        assert_eq!(output.code, Some(2), "{what}: {}", output.stderr);
        case.refused_path(&case.path(), &["panel.parquet", "Parquet"]);
    }
}

/// Parquet pages have no checksum unless the writer adds one, so damage may go unseen; it must not end in a panic.
#[test]
fn damage_anywhere_in_a_file() {
    let case = Spoiled::new();
    for (name, properties) in encodings() {
        write_parquet_with(&case.path(), &case.panel, properties);
        let whole = fs::read(case.path()).expect("the file just written");
        for part in 0..12 {
            let mut bytes = whole.clone();
            let start = part * (whole.len() - 40) / 11;
            bytes[start..start + 40].fill(0xA5);
            fs::write(case.path(), bytes).expect("a small file");
            let options =
                "--xformla '~ x1 + x2 + xt' --weightsname w --clustervars cluster,industry --bstrap false";
            let output = case.run_on(&case.path(), options);
            let told =
                output.code == Some(0) || (output.code == Some(2) && output.stderr.starts_with("error: "));
            assert!(told, "{name}, byte {start}: exit {:?}\n{}", output.code, output.stderr);
            let _ = fs::remove_dir_all(case.out());
        }
    }
}

#[test]
fn files_that_disagree() {
    let case = Spoiled::new();
    let folder = case.inside("parts");
    fs::create_dir(&folder).expect("a new folder");
    let (first, second) = (case.panel.slice(0, 300), case.panel.slice(300, 300));
    write_parquet(&folder.join("a.parquet"), &first);
    write_parquet(&folder.join("b.parquet"), &without_column(&second, "y"));
    case.refused_path(&folder, &["`y`", "b.parquet"]);
    let words = texts(numbers(&second, "y").iter().map(f64::to_string));
    write_parquet(&folder.join("b.parquet"), &with_column(&second, "y", words));
    case.refused_path(&folder, &["`y`", "a.parquet", "b.parquet", "Float64", "Utf8"]);
    // Another width of the same kind is no contradiction.
    let narrow = with_type(&second, "id", &arrow_schema::DataType::Int16);
    write_parquet(&folder.join("b.parquet"), &narrow);
    case.run_on(&folder, "--bstrap false").success();
}

#[test]
fn paths_that_lead_nowhere() {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    let inside = |name: &str| case.inside(name);
    case.refused_path(&inside("panle.parquet"), &["panle.parquet"]);
    case.refused_path(&inside("panel.parquet/part-0.parquet"), &["panel.parquet/part-0.parquet"]);
    case.refused_path(&inside("part-*.parquet"), &["part-*.parquet"]);
    fs::create_dir(inside("empty")).expect("a new folder");
    case.refused_path(&inside("empty"), &["empty"]);
    fs::write(inside("empty/notes.md"), "no data").expect("a small file");
    case.refused_path(&inside("empty"), &["empty"]);
    case.assert_refused(&cli::run(&words(&format!("run {COLUMNS} --json"))), 2, &["input"]);
}

/// Root may read every file, so root becomes nobody for this one.
#[cfg(unix)]
#[test]
fn unreadable_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    let folder = case.inside("");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the test's own folder");
    fs::set_permissions(case.path(), fs::Permissions::from_mode(0o000)).expect("the test's own file");
    let args = estimate_args(&case.path(), COLUMNS);
    let output = if fs::File::open(case.path()).is_err() {
        cli::run(&args)
    } else {
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(cli::binary()).args(&args);
        match nobody.status() {
            Ok(status) if !matches!(status.code(), Some(126 | 127)) => cli::finish(&mut nobody),
            _ => return note("not tested: this user can read every file and can't become another"),
        }
    };
    case.assert_refused(&output, 2, &["panel.parquet", "ermission denied"]);
}

#[test]
fn output_that_can_not_be_written() {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    let onto = |target: &Path| {
        let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --bstrap false"));
        args.extend(["--out".to_owned(), path_str(target).to_owned()]);
        cli::run(&args)
    };
    let file = case.inside("taken");
    fs::write(&file, "mine").expect("a small file");
    case.assert_refused(&onto(&file), 2, &["taken"]);
    assert_eq!(fs::read(&file).expect("the file"), b"mine");
    let below = onto(&file.join("saved"));
    assert!(matches!(below.code, Some(1 | 2)) && below.stderr.starts_with("error: "), "{}", below.stderr);
    // Somebody else's folder is not mixed with a result.
    let folder = case.inside("papers");
    fs::create_dir(&folder).expect("a new folder");
    fs::write(folder.join("thesis.tex"), "mine").expect("a small file");
    case.assert_refused(&onto(&folder), 2, &["papers"]);
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 1);
}

/// A limit on the size of files stands in for a full disk: the write fails half-way, with another error number.
#[cfg(unix)]
#[test]
fn disk_full() {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --biters 5000"));
    args.extend(["--out".to_owned(), path_str(&case.out()).to_owned()]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$@\"", "sh"]).arg(cli::binary()).args(&args);
    let output = cli::finish(&mut limited);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("error: ") && output.stderr.contains("saved"), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    case.assert_nothing_written();
}

/// The same on a real file system of 64 kB, in a mount namespace of its own.
#[cfg(target_os = "linux")]
#[test]
fn disk_full_for_real() {
    let case = Spoiled::new();
    write_parquet(&case.path(), &case.panel);
    let disk = case.inside("disk");
    fs::create_dir(&disk).expect("a new folder");
    let mut args = estimate_args(&case.path(), &format!("{COLUMNS} --biters 5000"));
    args.extend(["--out".to_owned(), path_str(&disk.join("saved")).to_owned()]);
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\" || exit 77; \"$@\" >/dev/null; code=$?; ls -A \"$0\"; exit $code";
    let mut mounted = Command::new("unshare");
    mounted.args(["--mount", "sh", "-c", script]).arg(&disk).arg(cli::binary()).args(&args);
    match mounted.output() {
        Ok(output)
            if output.status.code() == Some(1)
                && String::from_utf8_lossy(&output.stderr).contains("unshare") =>
        {
            note("not tested: no mount namespace for a small disk");
        }
        Ok(output) if output.status.code() == Some(77) => {
            note("not tested: a small disk can't be mounted here")
        }
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains("error: ") && stderr.contains("no space left"), "{stderr}");
            assert!(output.stdout.is_empty(), "left behind: {}", String::from_utf8_lossy(&output.stdout));
        }
        Err(e) => note(&format!("not tested: {e}")),
    }
}

#[cfg(unix)]
#[test]
fn interrupt_leaves_nothing() {
    let panel = Panel { units: 60_000, periods: 8, cohorts: vec![0, 3, 4, 5, 6, 7], clusters: 100, seed: 5 };
    let case = Spoiled::of(&panel);
    write_parquet(&case.path(), &case.panel);
    // Many seconds of draws, so that the signal certainly finds the run at work.
    let options = format!("{COLUMNS} --xformla '~ x1 + x2 + xt' --biters 500000 --threads 1");
    let mut args = estimate_args(&case.path(), &options);
    args.extend(["--out".to_owned(), path_str(&case.out()).to_owned()]);
    let output = cli::interrupt_after(command().args(&args), Duration::from_millis(700));
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(output.stderr.contains("interrupted"), "{}", output.stderr);
    assert!(output.stdout.is_empty() && !output.stderr.contains("panicked"), "{}", output.stderr);
    case.assert_nothing_written();
}

#[test]
fn formulas_that_make_no_sense() {
    let case = Spoiled::new();
    for (formula, words) in [
        ("~ x1 +", ["too early", "7"]),
        ("~ log(x1", ["too early", "9"]),
        ("~ ns(x1, 3)", ["`ns`", "xformla"]),
        ("~ x1 $ x2", ["$", "6"]),
        ("x1 + x2", ["~", "xformla"]),
    ] {
        case.refused(&case.panel, &format!("--xformla '{formula}'"), &words);
    }
    // log of negative values is no number: those rows are dropped and counted, as in R.
    let output = case.run(&case.panel, "--xformla '~ log(x1)' --bstrap false");
    assert!(matches!(output.code, Some(0 | 2)), "{}", output.stderr);
}

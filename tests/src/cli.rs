//! Runs the `stagger` program.
//!
//! The program is `$STAGGER_BIN` where that is set. Otherwise it lies beside the test executables
//! (`target/PROFILE/stagger`), where `cargo test --workspace` puts it. If it is older than its sources, as after a
//! `cargo test` of this package alone, `cargo build -p stagger` brings it up to date: a stale program would be tested
//! without a word.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use stagger_test_support::system::{Signal, send};

/// What a finished run left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; `None` when a signal ended the process.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The arguments, for messages.
    pub line: String,
}

impl Output {
    /// Fails the test unless the run succeeded.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "exit status of `{}`\n{}", self.line, self.stderr);
        self
    }

    /// The one JSON object on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("`{}` printed no JSON object: {e}\n{}", self.line, self.stdout))
    }
}

/// The program to test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("STAGGER_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// `target/PROFILE`, where this test executable was built (`target/PROFILE/deps/…` or `…/examples/…`).
fn profile_folder() -> PathBuf {
    let this = std::env::current_exe().expect("a test executable has a path");
    let folder = this.ancestors().nth(2).expect("a test executable lies in target/PROFILE/deps");
    folder.to_path_buf()
}

fn build() -> PathBuf {
    beside("stagger", "stagger")
}

/// A program of the workspace, beside the test executables and newer than its sources.
pub fn beside(name: &str, package: &str) -> PathBuf {
    let folder = profile_folder();
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if is_fresh(&program) {
        return program;
    }
    let profile = match folder.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let target = folder.parent().expect("target/PROFILE has a parent");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", package, "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(workspace())
        .status();
    assert!(
        built.as_ref().is_ok_and(|status| status.success()) && program.exists(),
        "`cargo build -p {package}` gave no {} ({built:?}); set STAGGER_BIN or STAGGER_BOOTSTRAP to use another program",
        program.display()
    );
    program
}

/// Whether the program is newer than everything it is built from.
fn is_fresh(program: &Path) -> bool {
    let Ok(built) = program.metadata().and_then(|meta| meta.modified()) else { return false };
    let newer =
        |path: &Path| path.metadata().and_then(|m| m.modified()).map_or(true, |changed| changed > built);
    let mut folders: Vec<PathBuf> =
        ["crates", "controller", "function", "gpu-worker"].iter().map(|f| workspace().join(f)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return false };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.iter().any(|part| part == "src") && newer(&path) {
                return false;
            }
        }
    }
    !newer(&workspace().join("Cargo.lock"))
}

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// The program, with nothing of the caller's environment that changes what it does.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    command.stdin(Stdio::null());
    for name in ["STAGGER_SIMD", "NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(args: &[S]) -> Output {
    finish(command().args(args))
}

/// Runs a prepared command to its end.
pub fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("can't start {command:?}: {e}"));
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        line: line_of(command),
    }
}

/// Starts a command, sends it an interrupt (Ctrl-C) after `delay` and waits for its end.
pub fn interrupt_after(command: &mut Command, delay: Duration) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("can't start {command:?}: {e}"));
    std::thread::sleep(delay);
    let sent = send(Signal::INT, child.id());
    assert!(sent.is_ok(), "`{}` ended before it was interrupted", line_of(command));
    let since = Instant::now();
    let output = child.wait_with_output().expect("the child was started here");
    assert!(since.elapsed() < Duration::from_secs(10), "took {:?} to stop after Ctrl-C", since.elapsed());
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        line: line_of(command),
    }
}

fn line_of(command: &Command) -> String {
    let words = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once("stagger".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Splits a command line on spaces; `'…'` keeps a word together.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// `stagger run DATA OPTIONS… --json`, with the options as one line.
pub fn estimate(data: &Path, options: &str) -> Output {
    run(&estimate_args(data, options))
}

/// The arguments of [`estimate`].
pub fn estimate_args(data: &Path, options: &str) -> Vec<String> {
    let mut args = vec!["run".to_owned(), path_str(data).to_owned()];
    args.extend(words(options));
    args.push("--json".to_owned());
    args
}

/// A path as an argument.
pub fn path_str(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Prints past the test harness's capture: counts and notes belong to every test log.
pub fn note(text: &str) {
    use std::io::Write as _;
    // A closed stderr must not fail a test.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_keep_a_word_together() {
        assert_eq!(
            words("--xformla '~ x1 + x2' --bstrap false"),
            ["--xformla", "~ x1 + x2", "--bstrap", "false"]
        );
    }
}

//! The real worker on LocalStack: a stack of `infra/stagger.yaml` with the `bootstrap` that was built beside the tests, or the one that
//! `$STAGGER_BOOTSTRAP` names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::cli::{Output, beside, command, finish, words};
use crate::localstack::http::request;
use crate::localstack::{LocalStack, environment, python, script};

/// Packs a binary as Lambda wants it.
const ZIP: &str = "import sys, zipfile
entry = zipfile.ZipInfo('bootstrap', (1980, 1, 1, 0, 0, 0))
entry.create_system, entry.external_attr, entry.compress_type = 3, 0o100755 << 16, zipfile.ZIP_DEFLATED
with zipfile.ZipFile(sys.argv[2], 'w') as out, open(sys.argv[1], 'rb') as file:
    out.writestr(entry, file.read(), compresslevel=1)";

/// A bucket and three functions.
#[derive(Debug)]
pub struct Stack {
    name: String,
    /// Its bucket.
    pub bucket: String,
    /// Its functions, the smallest first.
    pub functions: Vec<String>,
}

/// The zip of the worker, made once a test process.
fn zip() -> &'static Path {
    static ZIPPED: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = ZIPPED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bootstrap.zip");
        let binary = match std::env::var_os("STAGGER_BOOTSTRAP") {
            Some(path) => PathBuf::from(path),
            None => stripped(&beside("bootstrap", "stagger-function"), folder.path()),
        };
        let zipped = Command::new(python()).args(["-c", ZIP]).arg(&binary).arg(&path).status();
        assert!(zipped.is_ok_and(|status| status.success()), "no zip of {}", binary.display());
        (folder, path)
    });
    path
}

/// The binary without its symbols, where the system has a tool for it: they are most of a debug build.
fn stripped(binary: &Path, folder: &Path) -> PathBuf {
    let path = folder.join("bootstrap");
    match Command::new("strip").arg("-o").arg(&path).arg(binary).status() {
        Ok(status) if status.success() => path,
        _ => binary.to_path_buf(),
    }
}

impl Stack {
    /// Deploys a stack; `name` must be its own among the tests. `arguments` are those of `localstack/deploy.py`.
    pub fn deploy(name: &str, arguments: &[&str]) -> Self {
        Self::of_zip(name, zip(), arguments)
    }

    /// The same with another worker, packed.
    pub fn of_zip(name: &str, zip: &Path, arguments: &[&str]) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let zip = zip.to_str().expect("UTF-8");
        let found = deploy(&name, &[&["--zip", zip], arguments].concat());
        let found: Value = serde_json::from_str(&found).expect("deploy.py prints JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let functions = found["functions"].as_array().expect("functions").iter().map(text).collect();
        Self { name, bucket: text(&found["bucket"]), functions }
    }

    /// The address of something in the bucket.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Puts a file there.
    #[track_caller]
    pub fn upload(&self, path: &Path, key: &str) {
        let bytes = std::fs::read(path).expect("a file");
        let reply =
            request(LocalStack::shared().url(), "PUT", &format!("/{}/{key}", self.bucket), &[], &bytes);
        assert_eq!(reply.map(|reply| reply.status).ok(), Some(200), "upload of {key}");
    }

    /// The program, with this stack as its cloud behind `endpoint`.
    pub fn command(&self, endpoint: &str, line: &str) -> Command {
        let mut out = command();
        out.args(words(line))
            .envs(environment(endpoint))
            .env("STAGGER_BUCKET", &self.bucket)
            .env("STAGGER_FUNCTION", self.functions.join(","));
        out
    }

    /// Runs it.
    pub fn stagger(&self, line: &str) -> Output {
        finish(&mut self.command(LocalStack::shared().url(), line))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        deploy(&self.name, &["--remove"]);
    }
}

fn deploy(stack: &str, arguments: &[&str]) -> String {
    let mut deploy = Command::new(python());
    deploy
        .arg(script("deploy.py"))
        .args(["--endpoint", LocalStack::shared().url(), "--stack", stack])
        .args(arguments);
    let output = deploy.output().expect("LocalStack's Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

//! The cloud's edges without a cloud: surroundings that mean nothing, damaged journals, who is told, and what a deployment touches.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use stagger_tests::cli::{Output, command, finish, path_str, workspace};

/// Far more than an answer takes on a busy machine, far less than a person waits without asking why.
const SOON: Duration = Duration::from_secs(15);

/// The program with nothing of AWS in its environment but what is given.
fn bare(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut out = command();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_")
            || (text.starts_with("STAGGER_") && text != "STAGGER_BIN")
            || text.ends_with("_proxy")
            || text.ends_with("_PROXY")
        {
            out.env_remove(&name);
        }
    }
    out.args(args).envs(variables.iter().copied());
    out
}

const KEYS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1")];

fn with_keys(args: &[&str], more: &[(&str, &str)]) -> Output {
    finish(&mut bare(args, &[&KEYS[..], more].concat()))
}

#[test]
fn variables_that_mean_nothing_are_named_at_once() {
    let wrong = [
        ("AWS_MAX_ATTEMPTS", "0"),
        ("AWS_MAX_ATTEMPTS", "abc"),
        ("AWS_MAX_ATTEMPTS", "-1"),
        ("AWS_MAX_ATTEMPTS", "99999999999999999999"),
        ("AWS_RETRY_MODE", "foo"),
        ("AWS_REGION", "us-east-1a"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_USE_FIPS_ENDPOINT", "maybe"),
        ("STAGGER_S3_PATH_STYLE", "perhaps"),
    ];
    for (name, value) in wrong {
        let begin = Instant::now();
        let told = with_keys(&["describe", "s3://bucket/panel.csv"], &[(name, value)]);
        assert!(begin.elapsed() < SOON, "{name}={value} took {:?}", begin.elapsed());
        assert_eq!(told.code, Some(2), "{name}={value}: {}", told.stderr);
        assert!(told.stderr.starts_with(&format!("error: {name} is `{value}`")), "{}", told.stderr);
        assert!(told.stderr.contains("hint: "), "{}", told.stderr);
    }
}

#[test]
fn what_never_answers_is_given_up_soon_and_says_what_to_set() {
    let begin = Instant::now();
    let told =
        with_keys(&["describe", "s3://bucket/panel.csv"], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stderr.contains("AWS_ENDPOINT_URL is http://127.0.0.1:9"), "{}", told.stderr);
}

#[test]
fn who_has_no_credentials_or_a_wrong_profile_hears_what_to_set() {
    let home = tempfile::tempdir().expect("as the test has made it");
    let home = path_str(home.path());
    let args = ["describe", "s3://bucket/panel.csv"];
    // The machine's own service, as where there is none.
    let nobody = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9");
    let begin = Instant::now();
    let told = finish(&mut bare(&args, &[("HOME", home), ("AWS_REGION", "us-east-1"), nobody]));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    assert!(
        told.stderr.contains("no credentials") && told.stderr.contains("set AWS_PROFILE, or"),
        "{}",
        told.stderr
    );
    let told = finish(&mut bare(&args, &[("HOME", home), ("AWS_PROFILE", "wrk"), nobody]));
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    assert!(told.stderr.contains("AWS_PROFILE is `wrk`"), "{}", told.stderr);
}

/// An entry of a journal.
fn entry(number: u64, epoch: u64, at: f64, state: &str, more: &str) -> String {
    format!(
        r#"{{"version":1,"number":{number},"epoch":{epoch},"writer":{{"host":"elsewhere","pid":{epoch},"mark":"m{epoch}"}},"at":{at},
        "summary":{{"state":"{state}","stage":"gram","done":0,"tasks":2,"under_way":1,"cost":{{"spent":0.5,"reserved":0.0,"cap":null,
        "refused":0.0}},"bytes_read":0,"attempts":1,"failures":0{more}}},"events":[]}}"#
    )
}

fn unix() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("as the test has made it")
        .as_secs_f64()
}

/// A folder of runs; what stands in their journals.
fn runs(known: &[(&str, &[String])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("as the test has made it");
    fs::create_dir_all(folder.path().join("names")).expect("as the test has made it");
    for (name, entries) in known {
        fs::write(folder.path().join("names").join(name), "\n").expect("as the test has made it");
        fs::create_dir_all(folder.path().join(name).join("journal")).expect("as the test has made it");
        entries.iter().enumerate().for_each(|(index, text)| write(folder.path(), name, index + 1, text));
    }
    folder
}

fn write(runs: &Path, name: &str, number: usize, text: &str) {
    let journal = runs.join(name).join("journal");
    let whole = journal.join("entry");
    fs::write(&whole, text).expect("as the test has made it");
    fs::rename(whole, journal.join(format!("{number:08}.json"))).expect("as the test has made it");
}

#[test]
fn one_damaged_run_costs_no_other_its_line_or_its_end() {
    let (bad, left) = (["{".to_owned()], [entry(1, 1, 1_700_000_000.0, "running", "")]);
    let paused = [entry(1, 1, unix() + 20.0, "running", r#","paused":true"#)];
    let runs = runs(&[("bad", &bad), ("halted", &paused), ("left", &left), ("new", &[])]);
    let folder = path_str(runs.path());

    let listed = finish(&mut bare(&["list", "--run-dir", folder], &[]));
    assert_eq!(listed.code, Some(1), "{}", listed.stderr);
    let line =
        |name: &str| listed.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(
        line("bad").contains("damaged") && line("bad").contains("journal/00000001.json"),
        "{}",
        listed.stdout
    );
    assert!(
        line("halted").contains(" paused ")
            && line("left").contains(" left ")
            && line("new").contains("not begun")
    );
    assert!(listed.stderr.contains("1 of 4 runs can't be read: bad"), "{}", listed.stderr);
    let listed = finish(&mut bare(&["list", "--json", "--run-dir", folder], &[]));
    assert_eq!(
        (listed.code, listed.json().as_array().map(Vec::len)),
        (Some(1), Some(4)),
        "{}",
        listed.stdout
    );

    let ended = finish(&mut bare(&["janitor", "--run-dir", folder], &[]));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("run left: stopped") && ended.stderr.contains("bad"), "{}", ended.stderr);
    assert!(runs.path().join("left/journal/00000002.json").is_file(), "the run that was left is marked");
    assert!(!runs.path().join("halted/journal/00000002.json").exists(), "the other one is not");
}

#[test]
fn a_run_that_is_over_says_so_and_one_that_is_taken_up_elsewhere_is_followed() {
    let now = unix();
    let over = [entry(1, 1, now - 60.0, "finished", "")];
    // The second controller's clock is behind by minutes.
    let resumed = [entry(1, 1, now - 700.0, "stopped", ""), entry(2, 2, now - 600.0, "running", "")];
    let runs = runs(&[("done", &over), ("again", &resumed)]);
    let request = r#"{"version":"0.1.0","inputs":[],"specs":[],"stores":"x","command":[],"functions":[]}"#;
    for name in ["done", "again"] {
        fs::write(runs.path().join(name).join("run.json"), request).expect("as the test has made it");
    }
    let folder = path_str(runs.path());
    let watched = finish(&mut bare(&["watch", "done", "--plain", "--run-dir", folder], &[]));
    assert!(watched.stderr.contains("run done is finished since"), "{}", watched.stderr);
    let cancelled = finish(&mut bare(&["cancel", "done", "--run-dir", folder], &[]));
    assert!(cancelled.stdout.contains("run done is finished already: nothing runs"), "{}", cancelled.stdout);

    let mut watching = bare(&["watch", "again", "--json", "--run-dir", folder], &[]);
    let watching =
        watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("as the test has made it");
    std::thread::sleep(Duration::from_secs(2));
    write(runs.path(), "again", 3, &entry(3, 2, now - 590.0, "finished", ""));
    let begin = Instant::now();
    let told = watching.wait_with_output().expect("as the test has made it");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("\"finished\"") && !told.contains("writes no more"), "{told}");
}

/// A service that takes everything; the bodies of what it was sent.
fn sns() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("as the test has made it");
    let url = format!("http://{}", listener.local_addr().expect("as the test has made it"));
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().expect("as the test has made it"));
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("as the test has made it");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("as the test has made it");
            let _ = sender.send(String::from_utf8_lossy(&body).into_owned());
            let answer = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
            let mut connection = connection;
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            );
        }
    });
    (url, bodies)
}

#[test]
fn a_run_that_is_refused_before_it_begins_is_told_of() {
    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:runs";
    let folder = tempfile::tempdir().expect("as the test has made it");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("as the test has made it");
        path_str(&path).to_owned()
    };
    let missing = path_str(&folder.path().join("none.toml")).to_owned();
    let broken = file("broken.toml", &format!("notify = \"{TOPIC}\"\nyname = = 3\n"));
    let unknown = file("unknown.toml", &format!("notify = '{TOPIC}'\ndata = 'x.csv'\nynaem = 'y'\n"));
    let cases: [(&[&str], &str); 4] = [
        (&["run", &missing, "--notify", TOPIC], "none.toml"),
        (&["run", &broken], "broken.toml"),
        (&["run", &unknown], "ynaem"),
        (&["run", "panel.csv", "--notify", TOPIC, "--what"], "--what"),
    ];
    for (args, named) in cases {
        let (url, bodies) = sns();
        let told = with_keys(args, &[("AWS_ENDPOINT_URL_SNS", &url)]);
        assert_eq!(told.code, Some(2), "{}: {}", told.line, told.stderr);
        let body = bodies.recv_timeout(SOON).unwrap_or_else(|_| panic!("nobody was told of `{}`", told.line));
        assert!(body.contains("Action=Publish") && body.contains(named), "{}: {body}", told.line);
    }
    // A topic that can't be told costs the error none of its words.
    let told =
        with_keys(&["run", &missing, "--notify", TOPIC], &[("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")]);
    assert!(told.code == Some(2) && told.stderr.contains("none.toml"), "{}", told.stderr);
    assert!(told.stderr.contains("nobody was told of it"), "{}", told.stderr);
}

/// An account in a folder, which `tests/fixtures/cloud/aws` stands for.
struct Account {
    folder: tempfile::TempDir,
}

impl Account {
    /// Stagger's three stacks, and what they hold.
    fn new() -> Self {
        let account = Self { folder: tempfile::tempdir().expect("as the test has made it") };
        for stack in ["stagger", "stagger-code", "stagger-jobs"] {
            account.put(&format!("stacks/{stack}"), "Stagger: a stack");
        }
        for key in ["results/r", "studies/s", "panels/p", "runs/r"] {
            account.put(&format!("objects/stagger-bucket/{key}"), "x");
        }
        account.put("objects/stagger-code-bucket/zip", "x");
        account.put("objects/data/panel/a.parquet", "x");
        account
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("as the test has made it")).expect("as the test has made it");
        fs::write(path, text).expect("as the test has made it");
    }

    fn has(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }

    fn deploy(&self, args: &[&str]) -> Output {
        let fake: PathBuf = workspace().join("tests/fixtures/cloud");
        let path = format!("{}:{}", fake.display(), std::env::var("PATH").unwrap_or_default());
        let mut out = Command::new("bash");
        out.arg(workspace().join("infra/deploy")).args(args);
        out.env("PATH", path).env("CLOUD", self.folder.path()).stdin(Stdio::null());
        finish(&mut out)
    }

    /// Whether anything was made, changed or removed.
    fn was_touched(&self) -> bool {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        ["cloudformation deploy", "delete-stack", "s3 rm", "s3 cp"].iter().any(|call| calls.contains(call))
    }
}

#[test]
#[ignore = "needs bash"]
fn removing_keeps_results_and_studies_and_asks_first() {
    let account = Account::new();
    let asked = account.deploy(&["--remove"]);
    assert!(asked.code == Some(1) && asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert!(
        asked.stderr.contains("but results/ and studies/, which stay") && !account.was_touched(),
        "{}",
        asked.stderr
    );
    account.deploy(&["--remove", "--yes"]).success();
    for (path, stays) in [("results/r", true), ("studies/s", true), ("panels/p", false), ("runs/r", false)] {
        assert_eq!(account.has(&format!("objects/stagger-bucket/{path}")), stays, "{path}");
    }
    assert!(
        !account.has("stacks/stagger")
            && !account.has("stacks/stagger-jobs")
            && account.has("objects/data/panel/a.parquet")
    );
    let all = Account::new();
    all.deploy(&["--remove", "--yes", "--all"]).success();
    assert!(!all.has("objects/stagger-bucket/results") && !all.has("stacks/stagger"));
}

#[test]
#[ignore = "needs bash"]
fn a_stack_of_that_name_that_is_anothers_is_not_touched() {
    for name in ["stagger", "stagger-code", "stagger-jobs"] {
        let account = Account::new();
        account.put(&format!("stacks/{name}"), "the shop");
        let refused = account.deploy(&["--remove", "--yes"]);
        assert!(
            refused.code == Some(1)
                && refused.stderr.contains(&format!("the stack {name} is none of Stagger's")),
            "{}",
            refused.stderr
        );
        assert!(!account.was_touched(), "{name}");
    }
}

#[test]
#[ignore = "needs bash"]
fn settings_and_inputs_are_checked_before_a_stack_changes() {
    let account = Account::new();
    let zip = account.folder.path().join("bootstrap.zip");
    fs::write(&zip, "x").expect("as the test has made it");
    let zip = path_str(&zip);
    let wrong: [(&[&str], &str); 7] = [
        (&["--set", "Smallmemory=1769"], "no parameter Smallmemory"),
        (&["--set", "SmallMemory"], "no NAME=VALUE"),
        (&["--set", "CodeKey=x"], "CodeKey"),
        (&["--set", "--yes"], "--set needs a value"),
        (&["--input", "s3://none/panel/"], "no bucket none"),
        (&["--input", "s3://data/other/"], "nothing is there"),
        (&["--input", "data/panel"], "no s3://bucket/key"),
    ];
    for (args, named) in wrong {
        let refused = account.deploy(&[args, &["--arch", "arm64", zip]].concat());
        assert!(refused.code == Some(1) && refused.stderr.contains(named), "{args:?}: {}", refused.stderr);
        assert!(!account.was_touched(), "{args:?}");
    }
    let right = ["--set", "Timeout=60", "--input", "s3://data/panel/", "--arch", "arm64", zip];
    assert!(account.deploy(&right).success().stdout.contains("export STAGGER_BUCKET=stagger-bucket"));
    assert!(account.was_touched());
}

//! The program's face: what it says of itself, and of what it can't do.

use std::process::{Command, Output};

fn worker(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-worker"));
    command.args(arguments).env_remove("STAGGER_QUEUE").output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_argument() {
    let help = worker(&["--help"]);
    assert!(help.status.success());
    for argument in
        ["--queue", "--device", "--memory-limit", "--device-memory", "--threads", "--idle", "--hidden"]
    {
        assert!(text(&help.stdout).contains(argument), "{argument}");
    }
}

#[test]
fn a_queue_must_be_named() {
    for arguments in [&[][..], &["--queue", "tasks"]] {
        let refused = worker(arguments);
        assert_eq!(refused.status.code(), Some(2));
        let told = text(&refused.stderr);
        assert!(told.starts_with("error: ") && told.contains("\nhint: "), "{told}");
    }
}

/// A machine without a GPU, or without a driver for it, gives an error that names it.
#[test]
fn a_missing_device_is_an_error_and_no_panic() {
    if std::path::Path::new("/dev/nvidia0").exists() {
        return;
    }
    let refused = worker(&["--queue", "https://queue", "--device", "cuda"]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.starts_with("error: ") && told.contains("\nhint: ") && !told.contains("panic"), "{told}");
}

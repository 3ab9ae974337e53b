//! The smallest use of the program. Being a test of this package, it makes `cargo test --workspace` build the program, which the
//! tests in `tests/` run.

use std::process::Command;

#[test]
fn the_version_is_the_packages() {
    let output = Command::new(env!("CARGO_BIN_EXE_stagger")).arg("--version").output().expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.trim(), format!("stagger {}", env!("CARGO_PKG_VERSION")));
}

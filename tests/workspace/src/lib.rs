//! The groups of tests that `cargo test --workspace` leaves out, since they need more than Rust or much time.
//!
//! A test of a group is marked `#[ignore = "…"]` with the group's reason: so it is compiled with all the others, `cargo test` names it
//! among them, and no command builds anything a second time.

use std::fmt;

/// A group of tests with a command of its own.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Tests of the group, for people.
    pub tests: &'static str,
    /// The reason in their `#[ignore = "…"]`.
    pub reason: &'static str,
    /// The command that runs them, from the root of the repository.
    pub command: &'static str,
}

/// All groups.
pub const LEFT_OUT: [Group; 4] = [
    Group { tests: "S3, Lambda, SQS and SNS", reason: "needs LocalStack", command: "localstack/test" },
    Group {
        tests: "the deployment script",
        reason: "needs bash",
        command: "cargo test --workspace --test end_to_end -- --ignored cloud_edges",
    },
    Group {
        tests: "the kernels on a GPU",
        reason: "needs a GPU",
        command: "cargo test -p stagger-gpu-worker --release --test gpu -- --ignored --nocapture",
    },
    Group {
        tests: "coverage of the confidence bands",
        reason: "simulates 2,000 panels",
        command: "cargo test -p stagger-tests --release --test end_to_end -- --ignored --nocapture coverage",
    },
];

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})\n    {}", self.tests, self.reason, self.command)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::LEFT_OUT;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package is tests/workspace")
    }

    /// Every source file of the repository but build output.
    fn sources() -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![root().to_path_buf()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && name != "target" && !name.starts_with('.') {
                    folders.push(path);
                } else if name.ends_with(".rs") {
                    found.push(path);
                }
            }
        }
        found
    }

    #[test]
    fn every_ignored_test_is_of_a_group() {
        let start = concat!("#[ignore", " = \"");
        let mut seen = [0; LEFT_OUT.len()];
        for path in sources() {
            let text = fs::read_to_string(&path).expect("text");
            for rest in text.lines().filter_map(|line| line.trim().strip_prefix(start)) {
                let group = LEFT_OUT.iter().position(|group| rest == format!("{}\"]", group.reason));
                seen[group.unwrap_or_else(|| {
                    panic!("{}: no group is left out since it {rest}", path.display())
                })] += 1;
            }
            assert!(
                !text.contains(concat!("#[ignore", "]")),
                "{}: a test is ignored without a reason",
                path.display()
            );
        }
        assert!(seen.iter().all(|&tests| tests > 0), "a group without tests: {seen:?}");
    }

    #[test]
    fn no_test_on_localstack_is_left_in() {
        let suites = sources()
            .into_iter()
            .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("tests/tests/localstack")));
        let mut count = 0;
        for path in suites {
            let text = fs::read_to_string(&path).expect("text");
            let all = text.matches("#[test]\n").count();
            assert_eq!(
                all,
                text.matches("#[test]\n#[ignore = \"needs LocalStack\"]\n").count(),
                "{}",
                path.display()
            );
            count += all;
        }
        assert!(count > 20, "{count} tests on LocalStack");
    }

    #[test]
    fn the_commands_are_documented() {
        let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
        for group in LEFT_OUT {
            assert!(text.contains(group.command), "CONTRIBUTING.md does not name `{}`", group.command);
        }
    }
}

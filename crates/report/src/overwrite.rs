//! The files that may be replaced: those that this program wrote, which their content shows, and with `--force` any but an input.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use stagger_model::failure::Failure;

use super::folder::identity;

/// Bytes at a file's beginning and end in which its mark is looked for.
const LOOKED_AT: u64 = 64 << 10;

/// The kind that a file must be of to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaceable<'a> {
    /// A picture, a document or a panel with our mark.
    Marked(&'a str),
    /// A table with these columns: it holds no mark, and nobody else names its columns so.
    Table(&'a [u8]),
}

/// The rules for files that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverwriteRules {
    /// The argument that names the file, for messages.
    pub option: &'static str,
    /// Replace what another program wrote, too.
    pub force: bool,
    /// Files that the command reads, which it never replaces.
    pub inputs: Vec<PathBuf>,
}

impl OverwriteRules {
    /// Returns the rules for the file that an option names, with the command's inputs: files, or folders of results.
    pub fn new(option: &'static str, force: bool, inputs: &[impl AsRef<Path>]) -> Self {
        let inputs = inputs.iter().map(|path| path.as_ref().to_owned()).collect();
        Self { option, force, inputs }
    }

    /// The file that a path leads to, if it may be written: there is none, it is empty, or it is of the kind.
    ///
    /// # Errors
    /// Exit status 2: a folder, a device, a link to nothing, an input, or a file that somebody else wrote.
    pub fn check(&self, path: &Path, kind: Replaceable<'_>) -> Result<PathBuf, Failure> {
        let (option, shown) = (self.option, path.display());
        let Ok(found) = fs::metadata(path) else {
            if fs::symlink_metadata(path).is_ok() {
                return Err(Failure::input(format!("{option} {shown} is a link to nothing"))
                    .hint("remove it, or give another name"));
            }
            return Ok(path.to_owned());
        };
        if found.is_dir() {
            return Err(Failure::input(format!("{option} {shown} is a folder, not a file")));
        }
        if !found.is_file() {
            return Err(Failure::input(format!("{option} {shown} is no file, but a device or a pipe")));
        }
        self.refuse_input(path)?;
        // A link stays one: what it leads to is replaced.
        let whole = fs::canonicalize(path).map_err(|source| Failure::read(path, &source))?;
        let own = found.len() == 0 || is_own(&whole, kind).map_err(|source| Failure::read(path, &source))?;
        match own || self.force {
            true => Ok(whole),
            false => Err(self.refusal(path)),
        }
    }

    /// Refuses a file that the command reads.
    ///
    /// # Errors
    /// Exit status 2.
    pub fn refuse_input(&self, path: &Path) -> Result<(), Failure> {
        let this = identity(path);
        if this.is_some() && self.inputs.iter().any(|input| identity(input) == this) {
            return Err(Failure::input(format!("{} {} is an input", self.option, path.display()))
                .hint("give another name"));
        }
        Ok(())
    }

    /// The refusal of a file that somebody else wrote.
    pub fn refusal(&self, path: &Path) -> Failure {
        Failure::input(format!(
            "{} {}: stagger did not write the file that is there",
            self.option,
            path.display()
        ))
        .hint("give another name, or --force to replace it")
    }
}

/// Returns true if a file's content shows that it is ours.
fn is_own(path: &Path, kind: Replaceable<'_>) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(LOOKED_AT).read_to_end(&mut head)?;
    let holds = |bytes: &[u8], mark: &str| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    match kind {
        Replaceable::Table(columns) => Ok(first_line(&head) == first_line(columns)),
        Replaceable::Marked(mark) if holds(&head, mark) => Ok(true),
        Replaceable::Marked(mark) => {
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(LOOKED_AT)))?;
            let mut tail = Vec::new();
            file.take(LOOKED_AT).read_to_end(&mut tail)?;
            Ok(holds(&tail, mark))
        }
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use stagger_pictures::MARK;

    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("hand.svg"), "<svg><!-- drawn by hand --></svg>").unwrap();
        fs::write(at("own.svg"), format!("<svg>\n<!-- {MARK} -->\n</svg>")).unwrap();
        fs::write(at("late.md"), format!("{}<!-- {MARK} -->\n", "x".repeat(200_000))).unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::write(at("own.csv"), "group,att\n2004,1\n").unwrap();
        fs::write(at("data.csv"), "id,time\n1,2\n").unwrap();
        std::os::unix::fs::symlink(at("own.svg"), at("link.svg")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling.svg")).unwrap();
        let marked = Replaceable::Marked(MARK);
        let overwrite = OverwriteRules::new("--out", false, &[at("data.csv")]);
        let forced = OverwriteRules { force: true, ..overwrite.clone() };
        for (name, kind) in [
            ("own.svg", marked),
            ("late.md", marked),
            ("empty", marked),
            ("new.svg", marked),
            ("own.csv", Replaceable::Table(b"group,att\n1,2")),
        ] {
            assert_eq!(overwrite.check(&at(name), kind), Ok(at(name)), "{name}");
        }
        assert_eq!(overwrite.check(&at("link.svg"), marked), Ok(at("own.svg")));
        assert_eq!(forced.check(&at("hand.svg"), marked), Ok(at("hand.svg")));
        let refused = |overwrite: &OverwriteRules, name: &str| {
            let text = overwrite.check(&at(name), marked).expect_err(name).to_string();
            text.replace(&folder.path().display().to_string(), "DIR")
        };
        let all = [
            refused(&overwrite, "hand.svg"),
            refused(&overwrite, "data.csv"),
            refused(&forced, "data.csv"),
            refused(&forced, "dangling.svg"),
            refused(&forced, ""),
            overwrite.check(Path::new("/dev/zero"), marked).expect_err("device").to_string(),
        ];
        insta::assert_snapshot!(all.concat(), @"
        error: --out DIR/hand.svg: stagger did not write the file that is there
        hint: give another name, or --force to replace it
        error: --out DIR/data.csv is an input
        hint: give another name
        error: --out DIR/data.csv is an input
        hint: give another name
        error: --out DIR/dangling.svg is a link to nothing
        hint: remove it, or give another name
        error: --out DIR/ is a folder, not a file
        error: --out /dev/zero is no file, but a device or a pipe
        ");
    }
}

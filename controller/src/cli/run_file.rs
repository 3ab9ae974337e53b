//! Run files: the arguments of `stagger run` in TOML.
//!
//! ```toml
//! data = "panel.parquet"        # relative to this file
//! yname = "lemp"
//! tname = "year"
//! idname = "countyreal"
//! gname = "first.treat"
//!
//! [[spec]]                      # laid over the keys above
//! name = "plain"
//!
//! [[spec]]
//! name = "covariates"
//! xformla = "~ lpop"
//! ```

use std::path::{Path, PathBuf};

use stagger_model::error::StaggerError;
use stagger_model::failure::Failure;
use stagger_storage::open::is_on_s3;
use stagger_storage::{Storage, disk};
use toml::{Table, Value};

use super::inputs::{expand_lists, from_folder};
use super::named::{NamedArgs, SPECS, arguments};
use super::run_args::RunArgs;
use super::specs;

/// A run file: its common keys, and its `[[spec]]` tables as they stand.
#[derive(Debug, Default)]
pub(crate) struct RunFile {
    /// The keys above the tables.
    pub(crate) common: RunArgs,
    /// The tables.
    pub(crate) specs: Vec<NamedArgs>,
}

/// Returns true if an input names a run file.
pub(crate) fn is_run_file(input: &str) -> bool {
    Path::new(input).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// Lays the flags over the run file among the inputs, if there is one: the arguments of every specification.
pub(crate) fn resolve_specs(mut flags: RunArgs) -> Result<Vec<NamedArgs>, Failure> {
    let (files, data): (Vec<_>, Vec<_>) = flags.data.drain(..).partition(|input| is_run_file(input));
    flags.data = data;
    let file = match files.as_slice() {
        [] => RunFile::default(),
        [file] => read(Path::new(file))?,
        [first, second, ..] => {
            return Err(Failure::input(format!("two run files are given: {first} and {second}"))
                .hint("run them one after the other"));
        }
    };
    let mut named = specs::merge_flags(&flags, &file.common, file.specs)?;
    // Input is the same for all.
    for one in &mut named {
        one.args.data = expand_lists(std::mem::take(&mut one.args.data))?;
    }
    Ok(named)
}

/// Reads a run file, from a folder or from S3.
pub(crate) fn read(path: &Path) -> Result<RunFile, Failure> {
    let text = match path.to_str().filter(|text| is_on_s3(text)) {
        Some(url) => remote(url)?,
        None => disk::read_text(path, disk::MAX_TEXT_BYTES).map_err(|source| {
            Failure::read(path, &source)
                .hint("a run file is a text of a few lines in TOML; `stagger run --help` lists its keys")
        })?,
    };
    parse(&text, path)
}

/// The topic that a run file among the inputs names, as far as its text can be read: a file that is refused is told of there too.
pub(crate) fn topic_of(inputs: &[String]) -> Option<String> {
    let file = inputs.iter().find(|input| is_run_file(input))?;
    let text = match is_on_s3(file) {
        true => remote(file).ok()?,
        false => std::fs::metadata(file)
            .ok()
            .filter(|known| known.is_file())
            .and_then(|_| std::fs::read_to_string(file).ok())?,
    };
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.split('#').next()?.trim().trim_matches(['"', '\'']);
        (key.trim() == "notify" && value.starts_with("arn:")).then(|| value.to_owned())
    })
}

/// The text of an object on S3.
fn remote(url: &str) -> Result<String, Failure> {
    let (folder, name) = url.rsplit_once('/').unwrap_or((url, ""));
    let storage = Storage::open(folder).map_err(StaggerError::from)?;
    let size = storage.head(name).map_err(StaggerError::from)?.size;
    if size > disk::MAX_TEXT_BYTES {
        return Err(Failure::input(format!(
            "{url} has {size} bytes, and a run file at most {}",
            disk::MAX_TEXT_BYTES
        )));
    }
    let (bytes, _) = storage.get(name, None).map_err(StaggerError::from)?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Failure::input(format!("{url} is no text in UTF-8")).hint("a run file is TOML in UTF-8"))
}

/// A run file's text; `path` is for messages and for what the paths inside are relative to.
pub(crate) fn parse(text: &str, path: &Path) -> Result<RunFile, Failure> {
    let mut table: Table = toml::from_str(text).map_err(|error| syntax(text, path, &error))?;
    let tables = table.remove(SPECS).map(|value| tables(value, path)).transpose()?.unwrap_or_default();
    let mut common = arguments(&table, &path.display().to_string())?;
    let mut specs = specs::read(tables, path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for args in specs.iter_mut().map(|spec| &mut spec.args).chain([&mut common]) {
        relate(args, folder);
    }
    Ok(RunFile { common, specs })
}

/// The tables of the specifications.
fn tables(value: Value, path: &Path) -> Result<Vec<Table>, Failure> {
    let tables = match value {
        Value::Array(tables) => tables,
        table => vec![table],
    };
    let no_table =
        || Failure::input(format!("{}: spec must be a table", path.display())).hint("write [[spec]]");
    if tables.is_empty() {
        return Err(no_table());
    }
    tables.into_iter().map(|table| table.try_into().map_err(|_| no_table())).collect()
}

fn syntax(text: &str, path: &Path, error: &toml::de::Error) -> Failure {
    let message = error.message().trim().replace('\n', ", ");
    let start = error.span().map(|span| text.floor_char_boundary(span.start));
    let Some(before) = start.map(|start| &text[..start]) else {
        return Failure::input(format!("{}: {message}", path.display()));
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    let hint = message.contains("quoted").then(|| "texts stand in quotes: yname = \"lemp\"".to_owned());
    Failure::input(format!("{}, line {}: {message}: {line}", path.display(), number + 1)).maybe_hint(hint)
}

/// Makes paths that stand in a run file relative to the working directory.
fn relate(args: &mut RunArgs, folder: &Path) {
    for input in &mut args.data {
        *input = from_folder(folder, input);
    }
    args.records.steps.relate(folder);
    if let Some(out) = &mut args.output.out {
        *out = relative_to(folder, out);
    }
}

/// A path of the file as seen from the working directory; absolute paths and URLs stay.
fn relative_to(folder: &Path, input: &str) -> String {
    if input.contains("://") || Path::new(input).is_absolute() {
        return input.to_owned();
    }
    let joined: PathBuf = folder.join(input);
    joined.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<RunArgs, String> {
        parse(text, Path::new("studies/study.toml"))
            .and_then(|file| specs::merge_flags(&RunArgs::default(), &file.common, file.specs))
            .map(|mut specs| specs.remove(0).args)
            .map_err(|failure| failure.to_string())
    }

    fn refused(text: &str) -> String {
        parsed(text).expect_err("refused")
    }

    #[test]
    fn every_spelling_of_a_key() {
        let args =
            parsed("est-method = 'reg'\nnboot = 500\nalpha = 0.1\ncluster = 'state, county'\nboot = true\nboot-type = 'multiplier'\ndiagnostics = true")
                .unwrap();
        assert_eq!(args.estimator.est_method.as_deref(), Some("reg"));
        assert_eq!(args.inference.biters, Some(500));
        assert_eq!(args.inference.alp, Some(0.1));
        assert_eq!(args.inference.clustervars, Some(vec!["state".to_owned(), "county".to_owned()]));
        assert_eq!(args.inference.bstrap, Some(true));
        assert_eq!(args.inference.boot_type.as_deref(), Some("multiplier"));
        assert_eq!(args.estimator.diagnostics, Some(true));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let args = parsed("data = ['panel.parquet', '/big/*.parquet', 's3://b/k']\nout = 'results'").unwrap();
        assert_eq!(args.data, ["studies/panel.parquet", "/big/*.parquet", "s3://b/k"]);
        assert_eq!(args.output.out.as_deref(), Some("studies/results"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = parsed("yname = 'a'\ntname = 't'\nbstrap = true\ndata = 'x.parquet'").unwrap();
        let mut flags = RunArgs::default();
        flags.columns.yname = Some("b".to_owned());
        flags.inference.bstrap = Some(false);
        let merged = flags.over(file);
        assert_eq!(merged.columns.yname.as_deref(), Some("b"));
        assert_eq!(merged.columns.tname.as_deref(), Some("t"));
        assert_eq!(merged.inference.bstrap, Some(false));
        assert_eq!(merged.data, ["studies/x.parquet"]);
    }

    #[test]
    fn one_specification_is_laid_over_the_file() {
        let args =
            parsed("yname = 'a'\nalp = 0.05\n[[spec]]\nname = 'wide'\nalp = 0.1\nthreads = 2\nout = 'o'")
                .unwrap();
        assert_eq!(args.columns.yname.as_deref(), Some("a"));
        assert_eq!(args.inference.alp, Some(0.1));
        assert_eq!((args.running.threads, args.output.out.as_deref()), (Some(2), Some("studies/o")));
    }

    #[test]
    fn refusals_name_file_and_key() {
        let all = [
            refused("spec = []"),
            refused("spec = 'wide'"),
            refused("estmethod = 'dr'"),
            refused("colour = 'red'"),
            refused("alp = 0.1\nalpha = 0.05"),
            refused("panel = 'no'"),
            refused("biters = -5"),
            refused("tname = 'year'\nyname = lemp"),
            refused("yname = 'y'\nyname = 'z'"),
        ]
        .join("\n");
        insta::assert_snapshot!(all, @r#"
        error: studies/study.toml: spec must be a table
        hint: write [[spec]]

        error: studies/study.toml: spec must be a table
        hint: write [[spec]]

        error: studies/study.toml: unknown key estmethod
        hint: did you mean est_method?

        error: studies/study.toml: unknown key colour
        hint: `stagger run --help` lists all keys

        error: studies/study.toml: alp and alpha are the same argument, alp

        error: studies/study.toml: panel must be true or false, not "no"

        error: studies/study.toml: biters must be a whole number that is not negative, not -5

        error: studies/study.toml, line 2: string values must be quoted, expected literal string: yname = lemp
        hint: texts stand in quotes: yname = "lemp"

        error: studies/study.toml, line 2: duplicate key: yname = 'z'
        "#);
    }

    #[test]
    fn two_run_files_are_refused() {
        let flags = RunArgs { data: vec!["a.toml".into(), "b.TOML".into()], ..RunArgs::default() };
        insta::assert_snapshot!(resolve_specs(flags).expect_err("refused").to_string(), @"
        error: two run files are given: a.toml and b.TOML
        hint: run them one after the other
        ");
    }

    /// Mutations of a run file: every one is read or refused, none panics.
    #[test]
    fn no_text_makes_the_reader_panic() {
        use rand::Rng;
        let valid = "data = [\"a.parquet\"]\nyname = \"y\"\ntname = \"t\"\nbstrap = false\nbiters = 500\n\
                     clustervars = [\"s\", \"i\"]\nalp = 0.1\n[[spec]]\nest_method = \"reg\"\nanticipation = -1e400\n";
        let pieces = [
            "=",
            "[[spec]]",
            "\"",
            "\n",
            "[",
            "]",
            "nan",
            "-9223372036854775808",
            "é",
            "\u{0}",
            "1e999",
            "{",
            "yname",
            "\n[[spec]]\nname = 'b'\n",
        ];
        let mut random = rand_pcg::Pcg32::new(7, 11);
        let (mut read, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut text: Vec<char> = valid.chars().collect();
            for _ in 0..1 + random.next_u32() % 6 {
                let at = random.next_u32() as usize % (text.len() + 1);
                match random.next_u32() % 3 {
                    0 => text.truncate(at),
                    1 => {
                        let piece = pieces[random.next_u32() as usize % pieces.len()];
                        text.splice(at..at, piece.chars());
                    }
                    _ if at < text.len() => {
                        text.remove(at);
                    }
                    _ => {}
                }
            }
            match parsed(&text.into_iter().collect::<String>()) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
    }
}

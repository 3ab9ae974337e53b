//! `stagger simulate`.

use std::time::Instant;

use stagger_model::failure::Failure;
use stagger_report::overwrite::{OverwriteRules, Replaceable};
use stagger_report::stdout::{print, print_line_to_stderr};
use stagger_simulate::{MARK, PanelSize, SimulateArgs, SimulateError, truth_path};

/// Text that every file of true effects holds, and no other file.
const TRUTH: &str = "\"arguments\":{\"units\":";

/// Writes a synthetic panel, and says what was written: its path on stdout, the rest on stderr.
pub(crate) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let overwrite = OverwriteRules { option: "--out", force: args.force, inputs: Vec::new() };
    if args.files == 1 && !args.out.is_dir() {
        overwrite.check(&args.out, Replaceable::Marked(MARK))?;
    }
    overwrite.check(&truth_path(&args.out), Replaceable::Marked(TRUTH))?;
    let start = Instant::now();
    let PanelSize { bytes, rows, .. } = stagger_simulate::simulate(args).map_err(failure)?;
    let files = if args.files == 1 { "1 file".to_owned() } else { format!("{} files", args.files) };
    let (megabytes, seconds) = (bytes as f64 / 1e6, start.elapsed().as_secs_f64());
    // There is nobody to tell where these streams are closed.
    print_line_to_stderr(&format!("wrote {files}, {rows} rows, {megabytes:.1} MB in {seconds:.1} s"));
    print_line_to_stderr(&format!("true effects in {}", truth_path(&args.out).display()));
    let _ = print(&format!("{}\n", args.out.display()));
    Ok(())
}

fn failure(error: SimulateError) -> Failure {
    let message = error.to_string();
    let failure = if error.is_input() { Failure::input(message) } else { Failure::failed(message) };
    failure.maybe_hint(error.hint())
}

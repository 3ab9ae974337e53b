//! The `stagger` command.
//!
//! Results go to stdout, everything else to stderr. Exit status: 0 done, 1 the run failed, 2 bad arguments or bad input,
//! 130 interrupted.

mod cli;
mod commands;
#[cfg(test)]
mod fuzz;
mod interrupt;
mod listen;
mod simd;
mod stamp;
mod unattended;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use cli::refusal::Refusal;
use stagger_model::failure::Failure;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes memory in small pages. With huge ones a run is about 4 % quicker (measured, 1,000,000 units), but takes up to twice as much on
/// a machine that has many of them free and not on another: what a plan says and what `--memory-limit` bounds must hold on both.
fn small_pages() {
    #[cfg(target_os = "linux")]
    // A kernel that knows none has none.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn main() -> ExitCode {
    small_pages();
    stagger_dashboard::tui::restore_on_panic(stagger_records::parquet_file::is_catching_panics);
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let cli = match cli::parse(words.iter().cloned()) {
        Ok(cli) => cli,
        Err(Refusal::Help(text)) => return help(&text),
        Err(Refusal::Invalid(failure)) => {
            return refuse(&unattended::notify_of_refusal(
                unattended::topic_in_words(&words).as_deref(),
                None,
                failure,
            ));
        }
    };
    if let Err(failure) = simd::force() {
        return refuse(&failure);
    }
    if let Err(error) = stagger_model::logs::start_logs() {
        return refuse(&error.into());
    }
    stagger_storage::notify_of_slow_store(|url| {
        stagger_report::stdout::print_line_to_stderr(&format!(
            "note: no answer from {url} yet; still trying"
        ));
    });
    match commands::act(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => refuse(&failure),
    }
}

/// Prints help or the version to stdout. A closed pipe (`stagger --help | head`) is no error.
fn help(error: &clap::Error) -> ExitCode {
    let _ = match error.kind() {
        // `stagger` alone; clap would send it to stderr.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => cli::command().print_help(),
        _ => error.print(),
    };
    ExitCode::SUCCESS
}

fn refuse(failure: &Failure) -> ExitCode {
    failure.print();
    ExitCode::from(failure.status())
}

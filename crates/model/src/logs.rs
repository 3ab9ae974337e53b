//! Logs for those who look for the cause of something: spans along a run, its stages, tasks and attempts. They are off
//! unless the environment variable `STAGGER_LOG` asks for them.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{Result, StaggerError};

/// The environment variable that asks for logs: a level (`debug`), or levels by module (`stagger_coordinator=trace`).
pub const LOG_VARIABLE: &str = "STAGGER_LOG";

/// Starts logs to standard error if the environment asks for them: a line when a span ends, with its time busy and idle.
///
/// # Errors
/// A value that names no levels.
pub fn start_logs() -> Result<()> {
    let Ok(wanted) = std::env::var(LOG_VARIABLE) else { return Ok(()) };
    let Some(targets) = parse_targets(&wanted)? else { return Ok(()) };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE);
    // A second start, as in a test, keeps the first one's logs.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
    Ok(())
}

/// Returns the levels by module; a level alone is that of this program's own modules. `None` if nothing is asked for.
fn parse_targets(wanted: &str) -> Result<Option<Targets>> {
    if wanted.trim().is_empty() {
        return Ok(None);
    }
    let refused = || {
        StaggerError::input(format!("the environment variable {LOG_VARIABLE} names no level: \"{wanted}\""))
            .with_hint(format!("{LOG_VARIABLE}=debug shows stages, tasks and attempts"))
    };
    if let Ok(level) = wanted.trim().parse::<LevelFilter>() {
        return Ok(Some(Targets::new().with_target("stagger", level)));
    }
    // A word alone would name a module, at every level.
    if wanted.split(',').any(|part| !part.contains('=')) {
        return Err(refused());
    }
    wanted.parse().map(Some).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_is_that_of_this_programs_modules() {
        let targets = parse_targets("debug").unwrap().unwrap();
        assert!(targets.would_enable("stagger_coordinator::session", &Level::DEBUG));
        assert!(!targets.would_enable("stagger_coordinator::session", &Level::TRACE));
        assert!(!targets.would_enable("aws_smithy_runtime", &Level::ERROR));
    }

    #[test]
    fn modules_have_levels_of_their_own() {
        let targets = parse_targets("stagger_worker=trace,aws_smithy_runtime=info").unwrap().unwrap();
        assert!(targets.would_enable("stagger_worker", &Level::TRACE));
        assert!(targets.would_enable("aws_smithy_runtime", &Level::INFO));
        assert!(!targets.would_enable("stagger_coordinator", &Level::ERROR));
    }

    #[test]
    fn nothing_is_off_and_nonsense_is_refused() {
        assert!(parse_targets(" ").unwrap().is_none());
        for nonsense in ["loud", "stagger=loud", "debug,stagger"] {
            let error = parse_targets(nonsense).unwrap_err();
            assert!(error.is_input() && error.to_string().contains(&format!("\"{nonsense}\"")), "{error}");
        }
    }
}

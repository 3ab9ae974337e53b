//! The check of a run against its memory limit, made once its plan is known and before anything is computed.

use stagger_estimation::local::{RunInput, RunOptions};
use stagger_estimation::plan::Plan;
use stagger_model::error::Result;
use stagger_model::parallel::available_cores;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::prepare::default_memory;
use stagger_storage::open::is_on_s3;

use super::{Backend, ForecastOptions, PanelFacts, Prices, forecast_panel, size};

/// The divisor of a limit below which the sums of cells and draws are too small to matter.
const MATTERS: u64 = 16;
/// Bytes of such sums that are never checked: no process has less than tens of megabytes.
const SMALL: u64 = 16 << 20;

/// Refuses a run whose cells and draws take more memory than the limit, or than the machine has where no limit is
/// given. Else returns the most cells that its `Influence` passes may take at a time, all if absent. The bound is
/// that of `stagger plan`, with the same figures.
///
/// # Errors
/// The run does not fit: the stage, its bound and the limit.
pub fn check_memory(
    input: &RunInput<'_>,
    wanted: &[CheckedSpec],
    plans: &[Plan],
    options: &RunOptions,
) -> Result<Option<usize>> {
    let limit = options.memory_limit.unwrap_or_else(default_memory);
    let bytes: u64 = plans.iter().map(size::aggregation_memory).fold(0, u64::saturating_add);
    if bytes < (limit / MATTERS).max(SMALL) {
        return Ok(options.max_cohorts);
    }
    let specs: Vec<(Option<&str>, &RunSpec)> = wanted.iter().map(|w| (w.name(), &w.spec)).collect();
    let known = match input {
        RunInput::Files(inputs) => {
            PanelFacts::from_inputs(inputs, &specs, options.threads.unwrap_or_else(available_cores))?
        }
        RunInput::Store(store) => PanelFacts::from_store(store.as_ref().clone()),
    };
    let forecast = ForecastOptions {
        backends: vec![Backend::Threads],
        threads: options.threads,
        memory_limit: Some(limit),
        n_partitions: options.n_partitions,
        max_cohorts: options.max_cohorts,
        remote_stores: options.stores.as_ref().is_some_and(|stores| is_on_s3(stores)),
        ..ForecastOptions::new(Prices::built_in()?)
    };
    let found = forecast_panel(&known, &specs, &forecast)?;
    Ok(found.backends.first().and_then(|threads| threads.max_cells))
}

#[cfg(test)]
mod tests {
    use stagger_estimation::local::run;
    use stagger_test_support::panels::Panel;
    use stagger_test_support::runs;

    use super::*;

    /// Forty cohorts over 42 periods: 1,640 cells of 280 units.
    fn many_cells(folder: &std::path::Path) -> String {
        let cohorts = (0..280).map(|unit| if unit % 7 == 0 { 0 } else { 2 + unit % 40 }).collect();
        let panel = Panel { units: 280, periods: 42, cohorts, ..Panel::default() };
        panel.write(folder, "many").display().to_string()
    }

    fn spec(draws: usize) -> RunSpec {
        let bootstrap = draws > 0;
        RunSpec {
            bstrap: bootstrap,
            cband: bootstrap,
            biters: draws,
            ..runs::spec("y", "time", "id", "group")
        }
    }

    fn options(megabytes: u64) -> RunOptions {
        RunOptions {
            threads: Some(1),
            memory_limit: Some(megabytes * 1_000_000),
            check_memory: Some(check_memory),
            ..RunOptions::default()
        }
    }

    #[test]
    fn cells_that_do_not_fit_are_refused_before_anything_is_computed() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = [many_cells(folder.path())];
        let stages = std::sync::Mutex::new(Vec::new());
        let observer = |event: &stagger_model::events::RunEvent| {
            if let stagger_model::events::RunEvent::StageStarted { stage, .. } = event {
                stages.lock().unwrap().push(stage.clone());
            }
        };
        let error = run(&inputs, &spec(0), &options(70), &observer).unwrap_err();
        assert!(error.is_input(), "{error}");
        assert!(error.to_string().contains("but the limit is 70 MB"), "{error}");
        assert!(!stages.lock().unwrap().iter().any(|stage| stage == "gram"), "{stages:?}");
        // The same text from the plan.
        let known = PanelFacts::from_inputs(&inputs, &[(None, &spec(0))], 1).unwrap();
        let mut planned = ForecastOptions::new(Prices::built_in().unwrap());
        (planned.backends, planned.threads) = (vec![Backend::Threads], Some(1));
        planned.memory_limit = Some(70_000_000);
        let refused = forecast_panel(&known, &[(None, &spec(0))], &planned).unwrap_err();
        assert_eq!(refused.to_string(), error.to_string());
    }

    #[test]
    fn passes_are_cut_to_keep_the_limit_and_change_no_bit() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = [many_cells(folder.path())];
        // With a propensity score it is the columns that are summed.
        let spec = RunSpec { xformla: Some("~ x1".to_owned()), ..spec(40) };
        let whole = run(&inputs, &spec, &options(4000), &|_| {}).unwrap();
        let cut = run(&inputs, &spec, &options(110), &|_| {}).unwrap();
        let passes = |output: &stagger_model::facts::RunOutput| {
            output.facts.stages.iter().filter(|stage| stage.stage == "influence").count()
        };
        assert_eq!(passes(&whole), 1);
        assert!(passes(&cut) > 1, "{:?}", cut.facts.stages);
        let text =
            |output: &stagger_model::facts::RunOutput| serde_json::to_string(&output.saved.result).unwrap();
        assert_eq!(text(&cut), text(&whole));
        let bits = |output: &stagger_model::facts::RunOutput| {
            output
                .saved
                .extended
                .covariance
                .to_symmetric()
                .triangle()
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<u64>>()
        };
        assert_eq!(bits(&cut), bits(&whole));
        assert_eq!(cut.draws, whole.draws);
    }

    #[test]
    fn draws_that_fit_nowhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = [many_cells(folder.path())];
        for (draws, reason) in [
            (1_000_000_000, "but the limit is"),
            (1_000_000_000_000, "at most 1000000000"),
            (usize::MAX, "at most"),
        ] {
            let error = run(&inputs, &spec(draws), &options(4_000), &|_| {}).unwrap_err();
            assert!(error.is_input() && error.to_string().contains(reason), "{error}");
        }
    }
}

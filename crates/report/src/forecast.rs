//! The text that `stagger plan` prints.

use stagger_forecast::{
    Backend, BackendForecast, ContainerStage, ContainersForecast, Forecast, InputFacts, LAMBDA_MB,
    ShuffleFacts, SpecFacts, StageForecast, ThreePoint,
};
use stagger_model::numbers::{counted, grouped};

use super::text::{field, text_table, wrapped};

/// A forecast as a person reads it.
pub fn forecast_report(forecast: &Forecast) -> String {
    let mut text = field("Input:", &input(&forecast.input));
    for spec in &forecast.specs {
        text += &estimates(spec);
    }
    for backend in &forecast.backends {
        text.push('\n');
        text += &backend_report(backend);
    }
    text += &summary(forecast);
    let prices = &forecast.prices;
    text.push('\n');
    text += &field(
        "Prices:",
        &format!(
            "{} of {} in {}, without free tiers; ranges are low – likely – high",
            prices.region, prices.date, prices.currency
        ),
    );
    for note in &forecast.notes {
        text += &wrapped("note: ", 6, note);
    }
    for spec in &forecast.specs {
        let name = spec.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        spec.warnings.iter().for_each(|w| text += &wrapped("warning: ", 9, &format!("{name}{w}")));
    }
    text
}

fn input(facts: &InputFacts) -> String {
    let kind = match facts.prepared {
        true => "a prepared store of ".to_owned(),
        false => format!("{} of ", counted(facts.files as u64, "file")),
    };
    let units = if facts.cross_sections {
        "repeated cross sections".to_owned()
    } else {
        counted(facts.units, "unit")
    };
    let store = match facts.prepared {
        true => String::new(),
        false => "; prepared: ".to_owned(),
    };
    let separator = if facts.prepared { ", " } else { "" };
    format!(
        "{kind}{}, {units}, {}, {}{store}{separator}{}, {}",
        counted(facts.rows, "row"),
        counted(facts.periods as u64, "period"),
        match facts.strata {
            1 => "1 stratum".to_owned(),
            many => format!("{many} strata"),
        },
        counted(facts.shards as u64, "shard"),
        size(facts.bytes)
    )
}

fn estimates(spec: &SpecFacts) -> String {
    let name = spec.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let mut parts = vec![
        counted(spec.cells as u64, "cell"),
        counted(spec.comparisons as u64, "comparison"),
        counted(spec.regressors as u64, "regressor"),
    ];
    if spec.logits > 0 {
        parts.push(counted(spec.logits as u64, "propensity score"));
    }
    parts.push(match spec.draws {
        0 => "no draws".to_owned(),
        draws => counted(draws as u64, "draw"),
    });
    field("Estimates:", &format!("{name}{}; n = {}", parts.join(", "), grouped(spec.n)))
}

fn title(backend: &BackendForecast) -> String {
    match backend.backend {
        Backend::Threads => format!("On {} of this process", counted(backend.workers as u64, "thread")),
        Backend::Lambda => format!(
            "On AWS Lambda, up to {} of {} MB at a time",
            counted(backend.workers as u64, "function"),
            grouped(backend.worker_memory / LAMBDA_MB)
        ),
    }
}

fn backend_report(backend: &BackendForecast) -> String {
    let mut text = format!("{}:\n", title(backend));
    let mut headings = vec!["Stage", "Tasks", "Passes", "Memory", "Read", "Written", "Requests"];
    let lambda = backend.backend == Backend::Lambda;
    if lambda {
        headings.push("Invoked");
    }
    headings.push("Seconds");
    if lambda {
        headings.push("Dollars");
    }
    let rows: Vec<Vec<String>> = backend.stages.iter().map(|stage| stage_cells(stage, lambda)).collect();
    text += &text_table(&headings, 1, &rows);
    if let Some(shuffle) = &backend.shuffle {
        text += &shuffle_report(shuffle);
    }
    if let Some(containers) = &backend.containers {
        text += &containers_report(containers);
    }
    if let Some(why) = &backend.refused {
        text += &wrapped("refused: ", 9, why);
    }
    text
}

/// Returns the lines of the tasks that containers take over from functions.
fn containers_report(containers: &ContainersForecast) -> String {
    let who = counted(containers.workers as u64, "container");
    if containers.stages.is_empty() {
        return wrapped("Containers: ", 12, &format!("{who} would get no task by this rule"));
    }
    let row = |stage: &ContainerStage| {
        vec![
            stage.stage.clone(),
            format!("{} of {}", grouped(stage.tasks as u64), grouped(stage.of as u64)),
            ends(&stage.seconds, |&seconds| time(seconds)),
            ends(&stage.lambda_seconds, |&seconds| time(seconds)),
        ]
    };
    let rows: Vec<Vec<String>> = containers.stages.iter().map(row).collect();
    let start = match containers.start > 0.0 {
        true => format!("started with the run and there after about {} s", time(containers.start)),
        false => "there already".to_owned(),
    };
    let price = match containers.hourly > 0.0 {
        true => format!(
            "; ${} an hour each, ${} in all, their start included",
            digits(containers.hourly),
            ends(&containers.dollars, |&dollars| digits(dollars))
        ),
        false => "; machines of your own, at no price (--queue-price)".to_owned(),
    };
    let headings = ["To containers", "Tasks", "Seconds there", "Seconds on Lambda"];
    text_table(&headings, 1, &rows) + &wrapped("Containers: ", 12, &format!("{who}, {start}{price}"))
}

fn stage_cells(stage: &StageForecast, lambda: bool) -> Vec<String> {
    let amounts = &stage.amounts;
    let mut cells = vec![
        stage.stage.clone(),
        grouped(stage.tasks as u64),
        whole(&stage.passes),
        size(stage.memory),
        size(amounts.bytes_read.likely),
        size(amounts.bytes_written.likely),
        grouped(amounts.gets.likely + amounts.puts.likely),
    ];
    if lambda {
        cells.push(grouped(amounts.invocations.likely));
    }
    cells.push(time(amounts.seconds.likely));
    if lambda {
        cells.push(digits(amounts.dollars.likely));
    }
    cells
}

fn shuffle_report(shuffle: &ShuffleFacts) -> String {
    let kind = if shuffle.together { "units put together first" } else { "long rows" };
    let stages = match shuffle.stages {
        1 => "in one stage",
        _ => "in two stages, with combiners between",
    };
    wrapped(
        "Shuffle: ",
        9,
        &format!(
            "{} to {}, {kind}, {stages}; its requests would cost ${} in one stage and ${} in two",
            counted(shuffle.mappers as u64, "mapper"),
            counted(shuffle.partitions as u64, "partition"),
            digits(shuffle.one_stage),
            digits(shuffle.two_stages)
        ),
    )
}

/// Backends side by side.
fn summary(forecast: &Forecast) -> String {
    let mut headings = vec!["In all"];
    headings.extend(forecast.backends.iter().map(|backend| match backend.backend {
        Backend::Threads => "Threads",
        Backend::Lambda => "Lambda",
    }));
    let line = |name: &str, of: &dyn Fn(&BackendForecast) -> String| {
        std::iter::once(name.to_owned()).chain(forecast.backends.iter().map(of)).collect::<Vec<String>>()
    };
    let rows = [
        line("Memory, at most", &|b| format!("{} of {}", size(b.peak_memory), size(b.worker_memory))),
        line("Read", &|b| ends(&b.total.bytes_read, |&bytes| size(bytes))),
        line("Written", &|b| ends(&b.total.bytes_written, |&bytes| size(bytes))),
        line("Reads of objects", &|b| whole(&b.total.gets)),
        line("Writes of objects", &|b| whole(&b.total.puts)),
        line("Invocations", &|b| whole(&b.total.invocations)),
        line("Seconds", &|b| ends(&b.total.seconds, |&seconds| time(seconds))),
        line("Dollars", &|b| ends(&b.total.dollars, |&dollars| digits(dollars))),
        line("Dollars a month for the store", &|b| digits(b.storage_month)),
    ];
    format!("\n{}", text_table(&headings, 1, &rows))
}

/// Three ends; one where they are the same.
fn ends<T>(range: &ThreePoint<T>, shown: impl Fn(&T) -> String) -> String {
    let (low, likely, high) = (shown(&range.low), shown(&range.likely), shown(&range.high));
    if low == likely && likely == high { low } else { format!("{low} – {likely} – {high}") }
}

fn whole(range: &ThreePoint<u64>) -> String {
    ends(range, |&count| grouped(count))
}

/// Two significant digits, without an exponent: prices of small runs are parts of a cent.
fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (1.0 - libm::floor(libm::log10(value.abs()))).clamp(0.0, 9.0) as usize;
    match decimals {
        0 => grouped(libm::round(value) as u64),
        decimals => format!("{value:.decimals$}"),
    }
}

/// Seconds; parts of a hundredth are noise.
fn time(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.01 { "< 0.01".to_owned() } else { digits(seconds) }
}

fn size(bytes: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|(unit, _)| bytes as f64 >= *unit) {
        Some((unit, name)) if bytes as f64 / unit < 10.0 => format!("{:.1} {name}", bytes as f64 / unit),
        Some((unit, name)) => format!("{:.0} {name}", bytes as f64 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use stagger_forecast::heavy::{HeavyRule, PoolAssumptions};
    use stagger_forecast::{
        ContainerOptions, ForecastOptions, InputFiles, PanelFacts, Prices, forecast_panel,
    };
    use stagger_model::spec::RunSpec;
    use stagger_test_support::manifests::PreparedPanel;
    use stagger_test_support::runs;

    use super::*;

    fn report(files: Option<InputFiles>) -> String {
        report_with(files, None)
    }

    fn report_with(files: Option<InputFiles>, containers: Option<ContainerOptions>) -> String {
        let spec = RunSpec { xformla: Some("~ x1".into()), ..runs::spec("y", "time", "id", "group") };
        let options = ForecastOptions {
            threads: Some(16),
            memory_limit: Some(16_000_000_000),
            containers,
            ..ForecastOptions::new(Prices::built_in().unwrap())
        };
        let known = PanelFacts::synthetic(PreparedPanel::billion().manifest(), files);
        let found = forecast_panel(&known, &[(None, &spec)], &options).unwrap();
        forecast_report(&found)
    }

    #[test]
    fn a_billion_rows_in_a_store() {
        insta::assert_snapshot!(report(None));
    }

    #[test]
    fn a_billion_rows_in_shuffled_files() {
        let text = report(Some(InputFiles {
            count: 1000,
            chunks: vec![1_000_000; 1000],
            bytes: 30_000_000_000,
            key_bytes: 10_000_000_000,
            largest_chunk: 30_000_000,
            together: false,
            text_ids: false,
            direct: None,
        }));
        assert!(text.contains("in two stages") && text.contains("combine"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_billion_rows_with_gpus_for_what_is_heavy() {
        let facts = PoolAssumptions { workers: 4, start: 240.0, speed: 40.0 };
        let with = |heavy| report_with(None, Some(ContainerOptions { heavy, facts, hourly: 0.8048 }));
        let text = with(HeavyRule::Rows(150_000));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(text);
        assert!(with(HeavyRule::Rows(u64::MAX)).contains("4 containers would get no task by this rule"));
    }

    #[test]
    fn digits_of_prices() {
        assert_eq!(
            [0.0, 0.000_034_6, 0.123, 1.26, 12.6, 1234.5].map(digits).join(" "),
            "0 0.000035 0.12 1.3 13 1,235"
        );
    }
}

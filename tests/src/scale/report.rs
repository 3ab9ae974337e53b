//! docs/scale.md, from the simulation: deterministic, so that a test keeps the page true.

use std::fmt::Write as _;

use stagger_forecast::{CloudRates, FunctionFleet, LAMBDA_MB, Prices, StageLoad};

use super::{Outcome, Planned, Scenario, StageOutcome, options, planned, scenarios, simulate};
use crate::scale::simulation::Assumptions;

/// What is taken for granted, with its source; the page's own words.
const HEAD: &str = include_str!("head.md");
/// What follows the tables.
const TAIL: &str = include_str!("tail.md");

/// A scenario, its plan, and its three ends simulated.
struct Run {
    scenario: Scenario,
    plan: Planned,
    ends: [Outcome; 3],
}

impl Run {
    fn new(scenario: Scenario) -> Self {
        let plan = planned(&scenario);
        let loads = [&plan.loads.low, &plan.loads.likely, &plan.loads.high];
        let ends = [0, 1, 2].map(|end| outcome(&scenario, loads[end], Assumptions::of(end)));
        Self { scenario, plan, ends }
    }
}

fn outcome(scenario: &Scenario, loads: &[StageLoad], assumed: Assumptions) -> Outcome {
    let options = options(scenario);
    let megabytes = options.worker_memory as f64 / LAMBDA_MB as f64;
    let functions = FunctionFleet { concurrency: scenario.concurrency, megabytes };
    simulate(loads, functions, &options.prices, assumed)
}

/// The page.
///
/// # Panics
/// Without the built-in prices.
pub fn page() -> String {
    let prices = Prices::built_in().expect("the built-in prices");
    let runs: Vec<Run> = scenarios().into_iter().map(Run::new).collect();
    let mut text = HEAD.replace("{PRICES}", &format!("{} of {}", prices.region, prices.date));
    text += &assumptions();
    text += &summary(&runs);
    text += &variations(&runs);
    runs.iter().for_each(|run| text += &stages(run));
    text + TAIL
}

fn assumptions() -> String {
    let ends = [0, 1, 2].map(CloudRates::of);
    let line = |name: &str, of: &dyn Fn(&CloudRates) -> String, source: &str| {
        let [low, likely, high] = [0, 1, 2].map(|end| of(&ends[end]));
        format!("| {name} | {low} | {likely} | {high} | {source} |\n")
    };
    let ms = |seconds: f64| format!("{:.0} ms", seconds * 1e3);
    let mb = |bytes: f64| format!("{:.0} MB/s", bytes / 1e6);
    [
        "| | low | likely | high | source |\n|---|---|---|---|---|\n".to_owned(),
        line(
            "line between a function and S3",
            &|r| mb(r.storage.bandwidth),
            "PLATFORM §2.1 (625 Mbit/s documented), §3",
        ),
        line("first byte of a read", &|r| ms(r.storage.latency), "PLATFORM §1.2 (Starling)"),
        line("reply to a write", &|r| ms(r.storage.write), "assumption: twice a read"),
        line(
            "S3, reads a second",
            &|r| format!("{:.0}", r.storage.gets),
            "PLATFORM §2.3: 5,500 per partition; a bucket that S3 has not split yet is one partition",
        ),
        line(
            "S3, writes a second",
            &|r| format!("{:.0}", r.storage.puts),
            "PLATFORM §2.3: 3,500 per partition",
        ),
        line(
            "invocations a second",
            &|r| format!("{:.0}", r.controller.invocations),
            "measured with `--invocations`; the high end is from PLATFORM §1.1",
        ),
        line(
            "an invocation around its handler",
            &|r| ms(r.functions.invoke),
            "assumption: near the region to across an ocean",
        ),
        line(
            "cold start",
            &|r| ms(r.functions.cold),
            "PLATFORM §2.1 for the 20 ms that are billed; the rest is an assumption",
        ),
        line(
            "new environments",
            &|r| format!("{:.0}, then {:.0}/s", r.functions.at_once, r.functions.ramp),
            "PLATFORM §2.1",
        ),
        line(
            "a vCPU relative to the measured core",
            &|r| format!("1/{:.1}", r.functions.nanosecond * 1e9),
            "PLATFORM §3: half; other processors and other data differ",
        ),
        line(
            "attempts that are 5 times as slow",
            &|r| format!("{:.1} %", r.attempts.stragglers * 100.0),
            "assumption; Starling duplicated 0.3 % of its reads",
        ),
        line("the controller's line", &|r| mb(r.controller.bandwidth), "assumption: 100 Mbit/s to 1 Gbit/s"),
    ]
    .concat()
}

fn mark(value: f64, most: f64) -> &'static str {
    if value <= most { "✓" } else { "✗" }
}

fn summary(runs: &[Run]) -> String {
    let mut text = "\n## Results\n\n| | seconds: low – **likely** – high | target | dollars: low – **likely** – high | target | \
                    `stagger plan`, likely | version 0.1.0, likely |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for run in runs {
        let (seconds, dollars) = run.scenario.target;
        let [low, likely, high] = &run.ends;
        let _ = writeln!(
            text,
            "| ({}) {} | {:.0} – **{:.1}** – {:.0} | {seconds:.0} {} | {:.2} – **{:.3}** – {:.2} | {dollars:.2} {} | {:.1} s, ${:.3} | {:.1} s, ${:.3} |",
            run.scenario.name,
            run.scenario.title,
            low.seconds,
            likely.seconds,
            high.seconds,
            mark(likely.seconds, seconds),
            low.dollars,
            likely.dollars,
            high.dollars,
            mark(likely.dollars, dollars),
            run.plan.seconds.likely,
            run.plan.dollars.likely,
            run.scenario.before.0,
            run.scenario.before.1,
        );
    }
    text
}

/// One assumption at an end, all others likely.
type Variation = (&'static str, fn(&mut CloudRates, &CloudRates));

const VARIATIONS: [Variation; 8] = [
    ("S3's partitions", |own, end| {
        (own.storage.gets, own.storage.puts) = (end.storage.gets, end.storage.puts)
    }),
    ("stragglers", |own, end| own.attempts.stragglers = end.attempts.stragglers),
    ("invocations a second", |own, end| own.controller.invocations = end.controller.invocations),
    ("an invocation around its handler", |own, end| own.functions.invoke = end.functions.invoke),
    ("line between functions and S3", |own, end| own.storage.bandwidth = end.storage.bandwidth),
    ("S3's latency", |own, end| {
        (own.storage.latency, own.storage.write) = (end.storage.latency, end.storage.write)
    }),
    ("speed of a vCPU", |own, end| own.functions.nanosecond = end.functions.nanosecond),
    ("the controller's line", |own, end| own.controller.bandwidth = end.controller.bandwidth),
];

fn variations(runs: &[Run]) -> String {
    let shown: Vec<&Run> = runs.iter().filter(|run| run.scenario.name != "b′").collect();
    let mut text = "\n### What the seconds depend on\n\nIn each row one assumption is at its low and its high end, and the others are likely. The \
                    tasks are those planned for the likely case. The figures are seconds.\n\n|"
        .to_owned();
    shown.iter().for_each(|run| text += &format!(" | ({})", run.scenario.name));
    text += &format!(" |\n|---{}|\n", "|---".repeat(shown.len()));
    for (name, change) in VARIATIONS {
        text += &format!("| {name}");
        for run in &shown {
            let [low, high] = [0, 2].map(|end| {
                let mut assumed = Assumptions::of(1);
                change(&mut assumed.rates, &CloudRates::of(end));
                outcome(&run.scenario, &run.plan.loads.likely, assumed).seconds
            });
            let _ = write!(text, " | {low:.1} – {high:.1}");
        }
        text += " |\n";
    }
    text
}

fn stages(run: &Run) -> String {
    let likely = &run.ends[1];
    let mut text = format!(
        "\n### ({}) {}\n\n| stage | tasks | backups | seconds | of these after the last task | read | requests | 503 | seconds billed | dollars |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        run.scenario.name, run.scenario.title
    );
    for stage in joined(&likely.stages) {
        let reduce = if stage.reduce > 0 { format!(" ({} reduce)", stage.reduce) } else { String::new() };
        let _ = writeln!(
            text,
            "| {} | {}{reduce} | {} | {:.2} | {:.2} | {:.1} GB | {:.0} | {} | {:.0} | {:.4} |",
            stage.stage,
            stage.tasks,
            stage.backups,
            stage.seconds,
            stage.ended,
            stage.bytes / 1e9,
            stage.requests,
            stage.refused,
            stage.billed,
            stage.dollars
        );
    }
    let _ = writeln!(text, "| all | | | {:.1} | | | | | | {:.3} |", likely.seconds, likely.dollars);
    text
}

/// Passes of one name that follow each other, as one line.
fn joined(stages: &[StageOutcome]) -> Vec<StageOutcome> {
    let mut out: Vec<(StageOutcome, usize)> = Vec::new();
    for stage in stages {
        match out.last_mut() {
            Some((known, count)) if known.stage == stage.stage => {
                *count += 1;
                known.backups += stage.backups;
                known.seconds += stage.seconds;
                known.ended += stage.ended;
                known.bytes += stage.bytes;
                known.requests += stage.requests;
                known.refused += stage.refused;
                known.billed += stage.billed;
                known.dollars += stage.dollars;
            }
            _ => out.push((stage.clone(), 1)),
        }
    }
    let named = |(mut stage, count): (StageOutcome, usize)| {
        if count > 1 {
            stage.stage += &format!(" × {count}");
        }
        stage
    };
    out.into_iter().map(named).collect()
}

//! `--timings`: the time of a run by phase.

use std::time::Duration;

use stagger_model::facts::{RunFacts, StageFacts};

use super::text::text_table;

/// A phase of a run: a stage, a part of several stages, or rounds of the same stage.
#[derive(Clone, Debug, PartialEq)]
struct Phase {
    name: String,
    rounds: usize,
    /// Wall time in seconds.
    seconds: f64,
    /// Processor time in seconds, where it was measured.
    cpu: Option<f64>,
}

/// Returns the table of a run's phases; `output` is the time of saving and printing, `whole` that of the whole command.
pub fn timings_table(facts: &RunFacts, output: Duration, whole: Duration) -> String {
    let mut phases = Vec::new();
    facts.stages.iter().for_each(|stage| add_stage(&mut phases, stage));
    let output = output.as_secs_f64();
    let known: f64 = phases.iter().map(|phase| phase.seconds).sum::<f64>() + output;
    let whole = whole.as_secs_f64();
    let mut rows: Vec<Vec<String>> = phases.iter().map(Phase::row).collect();
    for (name, seconds) in [("output", output), ("rest", (whole - known).max(0.0)), ("all", whole)] {
        rows.push(vec![name.to_owned(), format!("{seconds:.3}"), String::new()]);
    }
    text_table(&["phase", "seconds", "processor"], 1, &rows)
}

/// Adds a stage to the phases. Threads do its parts side by side, so its wall time is divided among them in proportion
/// to the time of the threads.
fn add_stage(phases: &mut Vec<Phase>, stage: &StageFacts) {
    let total: f64 = stage.parts.iter().map(|part| part.seconds).sum();
    if total <= 0.0 {
        return add(phases, &stage.stage, stage.seconds, stage.cpu);
    }
    for part in &stage.parts {
        let share = part.seconds / total;
        add(phases, &part.part, stage.seconds * share, stage.cpu.map(|cpu| cpu * share));
    }
}

fn add(phases: &mut Vec<Phase>, name: &str, seconds: f64, cpu: Option<f64>) {
    match phases.iter_mut().find(|phase| phase.name == name) {
        Some(phase) => {
            phase.rounds += 1;
            phase.seconds += seconds;
            phase.cpu = phase.cpu.zip(cpu).map(|(own, more)| own + more);
        }
        None => phases.push(Phase { name: name.to_owned(), rounds: 1, seconds, cpu }),
    }
}

/// Phases whose repetitions are rounds of an iteration or passes over sets of cells.
const ROUNDS: [&str; 2] = ["propensity", "influence"];

impl Phase {
    fn row(&self) -> Vec<String> {
        let name = match self.rounds {
            rounds @ 2.. if ROUNDS.contains(&self.name.as_str()) => {
                format!("{} ({rounds} passes)", self.name)
            }
            _ => self.name.clone(),
        };
        let cpu = self.cpu.map(|cpu| format!("{cpu:.3}")).unwrap_or_default();
        vec![name, format!("{:.3}", self.seconds), cpu]
    }
}

#[cfg(test)]
mod tests {
    use stagger_model::facts::StagePart;

    use super::*;

    fn stage(name: &str, seconds: f64, cpu: f64, parts: &[(&str, f64)]) -> StageFacts {
        let part = |(part, seconds): &(&str, f64)| StagePart { part: (*part).to_owned(), seconds: *seconds };
        let parts = parts.iter().map(part).collect();
        StageFacts { stage: name.to_owned(), tasks: 1, seconds, cpu: Some(cpu), parts }
    }

    #[test]
    fn parts_divide_the_time_of_their_stage_and_rounds_are_added() {
        let facts = RunFacts {
            inputs: Vec::new(),
            rows: 0,
            units: 0,
            shards: 1,
            threads: 2,
            stages: vec![
                stage("units", 0.2, 0.4, &[("decode", 0.3), ("pivot", 0.1)]),
                stage("order", 0.1, 0.1, &[("pivot", 0.1)]),
                stage("propensity", 0.05, 0.1, &[]),
                stage("propensity", 0.05, 0.1, &[]),
            ],
            seconds: 0.4,
            workers: None,
        };
        let table = timings_table(&facts, Duration::from_millis(50), Duration::from_millis(500));
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = [
            "phase seconds processor",
            "decode 0.150 0.300",
            "pivot 0.150 0.200",
            "propensity (2 passes) 0.100 0.200",
            "output 0.050",
            "rest 0.050",
            "all 0.500",
        ];
        assert_eq!(table.lines().map(words).collect::<Vec<_>>(), wanted);
    }
}

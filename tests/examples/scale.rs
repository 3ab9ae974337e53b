//! Runs at scale, simulated.
use stagger_engine::forecast::{Functions, LAMBDA_MB};
use stagger_tests::scale::{options, planned, scenarios, simulate, simulation::Assumptions};
fn main() {
    let only = std::env::args().nth(1);
    for scenario in scenarios() {
        if only.as_deref().is_some_and(|o| o != scenario.name) {
            continue;
        }
        let plan = planned(&scenario);
        let options = options(&scenario);
        let functions = Functions {
            concurrency: scenario.concurrency,
            megabytes: options.worker_memory as f64 / LAMBDA_MB as f64,
        };
        println!("== {} {}: plan {:?} s, {:?} $", scenario.name, scenario.title, plan.seconds, plan.dollars);
        for (end, loads) in [(0, &plan.loads.low), (1, &plan.loads.likely), (2, &plan.loads.high)] {
            let begin = std::time::Instant::now();
            let out = simulate(loads, functions, &options.prices, Assumptions::of(end));
            println!(
                "  end {end}: {:.1} s, ${:.3} ({:.1} s to simulate)",
                out.seconds,
                out.dollars,
                begin.elapsed().as_secs_f64()
            );
            if end == 1 {
                for s in &out.stages {
                    println!(
                        "    {:12} {:6} tasks ({} reduce) {:6} att {:4} bk {:6.2} s start {:5.2} end {:5.2} {:8.2} GB {:8.0} req {:6} 503 {:7.1} billed ${:.4}",
                        s.stage,
                        s.tasks,
                        s.reduce,
                        s.attempts,
                        s.backups,
                        s.seconds,
                        s.started,
                        s.ended,
                        s.bytes / 1e9,
                        s.requests,
                        s.refused,
                        s.billed,
                        s.dollars
                    );
                }
            }
        }
    }
}

//! Temporary.
use stagger_engine::{run, spec::RunSpec};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let spec: RunSpec = serde_json::from_str(&a[2]).unwrap();
    let o = run::RunOptions { threads: std::env::var("T").ok().map(|t| t.parse().unwrap()), ..Default::default() };
    match run::run(&[a[1].clone()], &spec, &o, &|_| {}) {
        Ok(out) => {
            println!("{}", serde_json::to_string(&out.saved.result).unwrap());
            for s in &out.facts.stages { eprintln!("{:12} {:4} {:.4}", s.stage, s.tasks, s.seconds); }
            eprintln!("total {:.3}", out.facts.seconds);
        }
        Err(e) => { println!("{{\"error\":{:?}}}", e.to_string()); std::process::exit(2) }
    }
}

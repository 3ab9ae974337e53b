//! Prints the groups of tests that a plain `cargo test --workspace` leaves out. It is no test: it runs last, so that a person reads it.

use stagger_workspace::LEFT_OUT;

fn main() {
    // Whoever runs a group, or lists the tests, knows of them.
    if std::env::args().any(|word| ["--ignored", "--include-ignored", "--list"].contains(&word.as_str())) {
        return;
    }
    println!("\nLeft out, each with the command that runs it:");
    for group in LEFT_OUT {
        println!("  {group}");
    }
    println!("`.ci/run` runs the first two, and everything else that must pass.\n");
}

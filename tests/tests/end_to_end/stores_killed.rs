//! A preparation that is killed at any moment goes on where it was, and ends with the same store.

use std::process::Stdio;
use std::time::{Duration, Instant};

use stagger_test_support::panels::{Panel, Random};
use stagger_tests::bench::Bench;
use stagger_tests::cli::{estimate, note};
use stagger_tests::stores::{files, prepare, prepare_command};

const OPTIONS: &str = "--yname y --tname time --gname group --xformla '~ x1 + xt' --bstrap false";
const CUT: &str = "--n-partitions 16 --threads 2";
const KILLS: usize = 20;

#[test]
fn sigkill_at_any_moment() {
    let panel = Panel { units: 40_000, periods: 6, cohorts: vec![0, 3, 0, 4], clusters: 50, seed: 3 };
    for (label, kind) in [("panel", "--idname id"), ("cross sections", "--panel false")] {
        let options = format!("{OPTIONS} {kind}");
        let bench = Bench::new(panel.simulate(), Vec::new());
        let data = bench.plain();
        let whole = bench.path().join("whole");
        let begin = Instant::now();
        prepare(&data, &options, &whole, CUT).success();
        let span = begin.elapsed();
        let expected = files(&whole);
        let mut random = Random::new(17);
        let (mut killed, mut resumed) = (0, 0);
        for attempt in 0..KILLS {
            let store = bench.path().join(format!("killed-{attempt}"));
            // Later attempts are killed twice, so that a resumed one is killed too.
            for _ in 0..1 + attempt % 2 {
                let delay = span.mul_f64(random.uniform());
                killed += usize::from(kill_after(&data, &options, &store, delay));
            }
            if store.join("_prepare").exists() && !store.join("manifest.json").exists() {
                let half = estimate(&store, &options);
                assert_eq!(half.code, Some(2), "{}", half.stderr);
                assert!(half.stderr.contains("is not finished"), "{}", half.stderr);
            }
            resumed += usize::from(store.join("_prepare").exists());
            prepare(&data, &options, &store, CUT).success();
            let found = files(&store);
            let names = |files: &std::collections::BTreeMap<_, _>| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&found), names(&expected), "{label}, attempt {attempt}: other files");
            assert!(found == expected, "{label}, attempt {attempt}: other bytes");
        }
        note(&format!("{label}: {killed} kills over {span:?}, {resumed} of {KILLS} left work behind"));
        assert!(killed >= KILLS / 2, "only {killed} kills came in time");
        let direct = estimate(&data, &options).success().stdout;
        assert_eq!(direct, estimate(&whole, &options).success().stdout);
    }
}

/// Whether it was still running.
fn kill_after(data: &std::path::Path, options: &str, store: &std::path::Path, delay: Duration) -> bool {
    let mut child = prepare_command(data, options, store, CUT)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(delay);
    let running = child.try_wait().expect("a status").is_none();
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    running
}

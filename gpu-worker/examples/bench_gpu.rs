//! Times of the passes of an estimation on a GPU, and the share of its peaks that each kernel reaches.
//!
//! usage: cargo run --release -p stagger-gpu-worker --example bench_gpu [-- UNITS ...]      1000000 10000000 by default
//!
//! 10 periods, 4 covariates, 8 cohorts and 10 % never treated, doubly robust: 72 cells, 1000 draws, all inference. Shards are in the host's
//! memory as a worker has them after reading. Ends with status 1 where there is no GPU.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use stagger_cuda::CudaKernel;
use stagger_cuda::device::{Device, DeviceFunction, LaunchWork};
use stagger_cuda::driver::{Gpu, LaunchTiming, Peaks};
use stagger_estimation::kernel::conformance::{Case, Workload, record_workload};
use stagger_estimation::kernel::{Kernel, NamedShard, ShardName};
use stagger_model::error::StaggerError;

/// Rounds of which the fastest counts.
const ROUNDS: usize = 5;

type Outcome<T> = Result<T, StaggerError>;

fn main() -> ExitCode {
    let units: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let units = if units.is_empty() { vec![1_000_000, 10_000_000] } else { units };
    match units.into_iter().try_for_each(bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.hint().iter().for_each(|hint| eprintln!("hint: {hint}"));
            ExitCode::FAILURE
        }
    }
}

fn case(units: usize) -> Case {
    Case {
        units,
        covariates: 4,
        periods: 10,
        cohorts: (2..=9).collect(),
        untreated: 0.1,
        shards: units.div_ceil(16_384).next_power_of_two(),
        draws: 1000,
        ..Case::default()
    }
}

fn bench(units: usize) -> Outcome<()> {
    let gpu = Arc::new(Gpu::open(0)?);
    let peaks = gpu.peaks()?;
    println!("{units} units x 10 periods, 4 covariates, dr, 72 cells, 1000 draws, on {}", gpu.name());
    let gbs = peaks.bandwidth / 1e9;
    println!("peaks by its clocks: {gbs:.0} GB/s, {:.1} TFLOP/s double precision\n", peaks.operations / 1e12);
    let kernel = || CudaKernel::new(Arc::clone(&gpu) as Arc<dyn Device>, None);
    let work = record_workload(&kernel(), &case(units)).map_err(StaggerError::failed)?;
    let from_host = fastest(|| passes(&kernel(), &work))?;
    let kept = kernel();
    passes(&kept, &work)?;
    let from_device = fastest(|| passes(&kept, &work))?;
    print_passes(&work, &from_host, &from_device);
    gpu.start_measuring();
    passes(&kept, &work)?;
    print_kernels(&gpu.finish_measuring()?, peaks);
    if let Some(memory) = kept.memory() {
        let (peak, limit) = (memory.peak as f64 / 1e9, memory.limit as f64 / 1e9);
        println!("device memory: {peak:.2} GB at most, of {limit:.1}\n");
    }
    Ok(())
}

/// Seconds of every pass, in the round that took least in all.
fn fastest(mut round: impl FnMut() -> Outcome<Vec<f64>>) -> Outcome<Vec<f64>> {
    let mut rounds = (0..ROUNDS).map(|_| round()).collect::<Outcome<Vec<_>>>()?;
    rounds.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum()));
    Ok(rounds.swap_remove(0))
}

fn passes(kernel: &CudaKernel, work: &Workload) -> Outcome<Vec<f64>> {
    let pass = |(plan, input, stride): &(_, _, usize)| {
        let begin = Instant::now();
        let mut pass = kernel.pass(plan, input)?;
        for (place, shard) in work.shards.iter().step_by(*stride).enumerate() {
            let name = ShardName { panel: "bench".to_owned(), spec: 0, index: place * stride };
            pass.add(place, NamedShard { shard, name: Some(&name) }, &mut None)?;
        }
        pass.finish()?;
        Ok(begin.elapsed().as_secs_f64())
    };
    work.passes.iter().map(pass).collect()
}

fn print_passes(work: &Workload, from_host: &[f64], from_device: &[f64]) {
    println!("{:<14}{:>8}{:>22}{:>24}", "pass", "shards", "from the host, ms", "from the device, ms");
    let times = from_host.iter().zip(from_device);
    for ((_, input, stride), (host, device)) in work.passes.iter().zip(times) {
        let shards = work.shards.len() / stride;
        println!("{:<14}{shards:>8}{:>22.3}{:>24.3}", input.stage(), host * 1e3, device * 1e3);
    }
    let [host, device] = [from_host, from_device].map(|all| all.iter().sum::<f64>() * 1e3);
    println!("{:<14}{:>8}{host:>22.3}{device:>24.3}\n", "all", work.shards.len());
}

fn print_kernels(timings: &[LaunchTiming], peaks: Peaks) {
    println!(
        "{:<14}{:>9}{:>10}{:>9}{:>9}{:>10}{:>9}",
        "kernel", "launches", "ms", "GB/s", "of peak", "GFLOP/s", "of peak"
    );
    for function in DeviceFunction::ALL {
        let own: Vec<&LaunchTiming> = timings.iter().filter(|timing| timing.function == function).collect();
        let seconds: f64 = own.iter().map(|timing| timing.seconds).sum();
        if seconds == 0.0 {
            continue;
        }
        let total =
            |part: fn(&LaunchWork) -> f64| own.iter().map(|timing| part(&timing.work)).sum::<f64>() / seconds;
        let (bytes, operations) = (total(|work| work.bytes), total(|work| work.operations));
        println!(
            "{:<14}{:>9}{:>10.3}{:>9.0}{:>8.0}%{:>10.0}{:>8.0}%",
            function.name(),
            own.len(),
            seconds * 1e3,
            bytes / 1e9,
            100.0 * bytes / peaks.bandwidth,
            operations / 1e9,
            100.0 * operations / peaks.operations,
        );
    }
    println!();
}

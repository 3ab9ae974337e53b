//! Kernels of one block, in nanoseconds a unit: `cargo bench -p stagger-estimator`.
#![allow(missing_docs)] // criterion_group! makes a public function

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stagger_estimator::block::Block;
use stagger_estimator::columns::Columns;
use stagger_estimator::cross_products::add_cross_symmetric;
use stagger_estimator::lanes::LANES;
use stagger_estimator::multipliers::{Bits, Domain, TwoPoint};
use stagger_estimator::options::Multiplier;
use stagger_estimator::propensity::{PropensityPartial, PropensitySpace, add_logit};
use stagger_estimator::subset_sums::{BLOCK, BitSpace, DrawSums};

fn columns(count: usize) -> Columns {
    let mut out = Columns::zeros(BLOCK, count);
    for j in 0..count {
        for (i, value) in out.col_mut(j).iter_mut().enumerate() {
            *value = ((i * 31 + j * 17) % 101) as f64 / 50.0 - 1.0;
        }
    }
    out
}

fn bits(c: &mut Criterion) {
    let mut group = c.benchmark_group("multiplier bits, 1000 draws");
    group.throughput(Throughput::Elements(LANES as u64));
    for multiplier in [Multiplier::Mammen, Multiplier::Rademacher] {
        let bits = Bits::new(1, Domain::Unit, TwoPoint::of(multiplier));
        let mut words = vec![[0; LANES]; 16];
        group.bench_function(format!("{multiplier:?}"), |b| {
            b.iter(|| bits.fill(black_box(&[1, 2, 3, 4, 5, 6, 7, 8]), &mut words));
        });
    }
    group.finish();
}

fn draws(c: &mut Criterion) {
    let mut group = c.benchmark_group("bootstrap sums, 1000 draws");
    group.throughput(Throughput::Elements(BLOCK as u64));
    let bits = Bits::new(1, Domain::Unit, TwoPoint::of(Multiplier::Mammen));
    let keys: Vec<u64> = (0..BLOCK as u64).collect();
    for count in [10, 73] {
        let psi = columns(count);
        let mut sums = DrawSums::new(count, count, 1000);
        let mut space = BitSpace::new(1000);
        group.bench_function(format!("{count} columns"), |b| {
            b.iter(|| sums.add_block(psi.view(BLOCK, count), &keys, &bits, &mut space));
        });
    }
    group.finish();
}

fn cross(c: &mut Criterion) {
    let mut group = c.benchmark_group("cross products");
    group.throughput(Throughput::Elements(BLOCK as u64));
    for count in [5, 10, 73] {
        let psi = columns(count);
        let mut out = vec![0.0; count * count];
        group.bench_function(format!("{count} columns"), |b| {
            b.iter(|| add_cross_symmetric(psi.view(BLOCK, count), psi.view(BLOCK, count), &mut out));
        });
    }
    group.finish();
}

fn logit(c: &mut Criterion) {
    let mut group = c.benchmark_group("logit round");
    group.throughput(Throughput::Elements(BLOCK as u64));
    let (design, outcomes, ones) = (columns(5), columns(10), vec![1.0; BLOCK]);
    let block = Block {
        design: design.view(BLOCK, 5),
        regressors: 5,
        ones: 0,
        weights: &ones,
        used: &ones,
        outcomes: outcomes.view(BLOCK, 10),
    };
    let mut partial = PropensityPartial::new(1, 5, false);
    let mut space = PropensitySpace::new(5);
    group.bench_function("5 regressors", |b| {
        b.iter(|| add_logit(&mut partial, 0, &block, &ones, false, &[0.1, 0.2, -0.3, 0.1, 0.5], &mut space));
    });
    group.finish();
}

criterion_group!(kernels, bits, draws, cross, logit);
criterion_main!(kernels);

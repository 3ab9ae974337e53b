//! The kernels' arithmetic and all that drives them, on a processor: what holds here on every machine holds on a GPU, but for speed.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use stagger_cuda::device::{BoundedDevice, Device, DeviceFunction, LaunchWork, Stream};
use stagger_cuda::emulated::{EmulatedDevice, ThreadOrder};
use stagger_cuda::source::source;
use stagger_cuda::{CudaError, CudaKernel};
use stagger_estimation::kernel::Kernel;
use stagger_estimation::kernel::conformance::{
    Case, Layout, cases, check_conformance, check_kernel, hash_sums,
};
use stagger_estimator::lanes::LANES;
use stagger_estimator::multipliers::{Bits, Domain, TwoPoint};
use stagger_estimator::options::Multiplier;
use stagger_model::error::StaggerError;

const ROOM: u64 = 1 << 30;

fn emulated(turns: ThreadOrder) -> Arc<EmulatedDevice> {
    Arc::new(EmulatedDevice::new(ROOM, turns).unwrap())
}

fn kernel(turns: ThreadOrder) -> CudaKernel {
    CudaKernel::new(emulated(turns), None)
}

#[test]
fn the_kernels_conform() {
    let report = check_conformance(&kernel(ThreadOrder::Forwards), &cases(400, 40)).unwrap();
    println!("{report:?}");
    assert!(report.passes > 500, "{report:?}");
}

#[test]
fn thousands_of_units_conform() {
    let base = Case { units: 9_000, shards: 2, ..Case::default() };
    let large = [
        base.clone(),
        Case { layout: Layout::TripleDifference, weighted: true, ..base.clone() },
        Case { layout: Layout::Unbalanced, periods: 4, ..base },
    ];
    let report = check_conformance(&kernel(ThreadOrder::Forwards), &large).unwrap();
    println!("{report:?}");
}

#[test]
fn the_order_of_threads_and_blocks_changes_no_bit() {
    for case in cases(200, 9) {
        let forwards = hash_sums(&kernel(ThreadOrder::Forwards), &case).unwrap();
        let backwards = hash_sums(&kernel(ThreadOrder::Backwards), &case).unwrap();
        assert_eq!(forwards, backwards, "{case:?}");
    }
}

/// Mistakes that the suite must find: a lost part, a wrong sign, another generator, a lost barrier, an exponential
/// that is a little off.
const MISTAKES: [(&str, &str); 8] = [
    ("for (g = 1; g < groups; g++)", "for (g = 1; g < groups - 1; g++)"),
    ("w * (part.treated ? q : 0.0 - p)", "w * (part.treated ? q : p)"),
    ("old * 6364136223846793005ULL", "old * 6364136223846793007ULL"),
    (
        "  __syncthreads();\n  for (e = threadIdx.x; e < lefts * rights",
        "  for (e = threadIdx.x; e < lefts * rights",
    ),
    ("1.0 / 24.0", "1.0 / 24.000001"),
    ("odds * (e - part->shift)", "odds * (e + part->shift)"),
    ("for (tile = 1; tile < item.tiles; tile++)", "for (tile = 2; tile < item.tiles; tile++)"),
    ("high = fmax(high, eta);", ""),
];

#[test]
fn mistakes_are_found_out() {
    let case = Case { units: 6_000, shards: 2, ..Case::default() };
    for (right, wrong) in MISTAKES {
        let text = source().replacen(right, wrong, 1);
        assert_ne!(text, source(), "{right}");
        let device = Arc::new(EmulatedDevice::with_source(&text, ROOM).unwrap());
        let found = check_kernel(&CudaKernel::new(device, None), &case);
        println!("{wrong}: {found:?}");
        assert!(found.is_err(), "{wrong}");
    }
}

#[test]
fn multiplier_bits_are_the_processors() {
    let device = emulated(ThreadOrder::Forwards);
    let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ n;
    for multiplier in [Multiplier::Mammen, Multiplier::Rademacher] {
        let bits = Bits::new(7, Domain::Unit, TwoPoint::of(multiplier));
        for keys in [(0..203).collect::<Vec<u64>>(), (0..203).map(random).collect(), vec![u64::MAX; 1]] {
            let words = drawn(&device, &bits, &keys, 16);
            for (unit, &key) in keys.iter().enumerate() {
                for block in 0..16 {
                    let expected = bits.words(&[key; LANES], block as u64)[0];
                    assert_eq!(words[unit * 16 + block], expected, "{key} {block}");
                }
            }
        }
    }
}

/// Words of the kernel, units × blocks.
fn drawn(device: &Arc<EmulatedDevice>, bits: &Bits, keys: &[u64], blocks: usize) -> Vec<u64> {
    let bounded = BoundedDevice::new(Arc::clone(device) as Arc<dyn Device>, None);
    let upload = |words: &[u64]| {
        let buffer = bounded.buffer(Stream::Copy, words.len(), "a test").unwrap();
        let fill = &mut |out: &mut [u64]| out.copy_from_slice(words);
        device.upload(Stream::Copy, buffer.address(), words.len(), fill).unwrap();
        buffer
    };
    let out = bounded.buffer(Stream::Compute, keys.len() * blocks, "a test").unwrap();
    let keys_there = upload(keys);
    let segments = upload(&[keys_there.address(), out.address()]);
    let tiles = upload(&[0, 0, keys.len() as u64, 0]);
    let (base, probability) = bits.parameters();
    let words = [segments.address(), tiles.address(), base, probability, blocks as u64];
    device.launch(DeviceFunction::Bits, 1, &words, LaunchWork::default()).unwrap();
    let mut found = vec![0.0; keys.len() * blocks];
    device.download(out.address(), &mut found).unwrap();
    found.into_iter().map(f64::to_bits).collect()
}

#[test]
fn shards_stay_on_the_device_as_long_as_there_is_room() {
    let case = Case { units: 6_000, shards: 8, ..Case::default() };
    let device = emulated(ThreadOrder::Forwards);
    let roomy = CudaKernel::new(Arc::clone(&device) as Arc<dyn Device>, None);
    let tight = CudaKernel::new(Arc::clone(&device) as Arc<dyn Device>, Some(700_000));
    check_kernel(&roomy, &case).unwrap();
    check_kernel(&tight, &case).unwrap();
    assert_eq!(hash_sums(&roomy, &case).unwrap(), hash_sums(&tight, &case).unwrap());
    let (roomy_memory, tight_memory) = (roomy.memory().unwrap(), tight.memory().unwrap());
    println!("{roomy_memory:?} {tight_memory:?}");
    assert!(roomy_memory.kept > tight_memory.kept);
    assert!(tight_memory.peak <= tight_memory.limit && tight_memory.limit == 700_000);
    assert!(tight_memory.used <= tight_memory.limit / 2);
    drop((roomy, tight));
    assert_eq!(device.buffer_count(), 0);
}

#[test]
fn a_device_too_small_is_a_named_error() {
    let kernel = CudaKernel::new(emulated(ThreadOrder::Forwards), Some(10_000));
    let error = check_kernel(&kernel, &Case::default()).unwrap_err();
    assert!(error.contains("the device has no") && error.contains("10000 are in use"), "{error}");
}

#[test]
fn a_machine_without_a_gpu_is_a_named_error() {
    match CudaKernel::open(None) {
        Ok(kernel) => println!("this machine has {}", kernel.device()),
        Err(error) => {
            let error = StaggerError::from(error);
            println!("{error}\nhint: {}", error.hint().unwrap());
            assert!(error.to_string().starts_with("the "), "{error}");
            assert!(error.hint().unwrap().contains("--device cpu"));
        }
    }
}

#[test]
fn every_error_has_a_hint_and_no_full_stop() {
    let errors = [
        CudaError::NoDriver,
        CudaError::NoDevice("none".into()),
        CudaError::NoCompiler,
        CudaError::Compile { architecture: "compute_10".into(), log: "no".into() },
        CudaError::OutOfMemory { what: "sums", wanted: 1, used: 2, limit: 3 },
        CudaError::Failed { what: "a copy", reason: "no".into() },
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.starts_with("the ") || text.starts_with("a "), "{text}");
        assert!(!text.ends_with('.') && !error.hint().is_empty());
    }
}

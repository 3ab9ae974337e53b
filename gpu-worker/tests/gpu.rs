//! The kernels' conformance on a GPU: `cargo test -p stagger-gpu-worker --release --test gpu -- --ignored --nocapture`.

use std::sync::Arc;

use stagger_cuda::CudaKernel;
use stagger_cuda::emulated::{EmulatedDevice, ThreadOrder};
use stagger_estimation::kernel::conformance::{Case, Layout, cases, check_conformance, hash_sums};

#[test]
#[ignore = "needs a GPU"]
fn the_kernels_conform() {
    let kernel = CudaKernel::open(None).unwrap();
    for units in [60, 400, 5_000, 100_000] {
        let report = check_conformance(&kernel, &cases(units, 40)).unwrap();
        println!("{units} units: {report:?}");
    }
}

#[test]
#[ignore = "needs a GPU"]
fn millions_of_rows_conform() {
    let kernel = CudaKernel::open(None).unwrap();
    let base = Case { draws: 130, ..Case::default() };
    for (units, shards) in [(1_000_000, 64), (10_000_000, 1024)] {
        let report = check_conformance(&kernel, &[Case { units, shards, ..base.clone() }]).unwrap();
        println!("{units} units: {report:?}");
    }
    let rows = Case { layout: Layout::CrossSections, units: 2_000_000, shards: 128, ..base };
    println!("cross sections: {:?}", check_conformance(&kernel, &[rows]).unwrap());
}

/// Every operation is one that IEEE 754 defines, so a GPU has the bits of the same source on a processor.
#[test]
#[ignore = "needs a GPU"]
fn bits_are_those_of_the_processor_that_emulates_it() {
    let gpu = CudaKernel::open(None).unwrap();
    let emulated =
        CudaKernel::new(Arc::new(EmulatedDevice::new(1 << 30, ThreadOrder::Forwards).unwrap()), None);
    for case in cases(300, 12) {
        let own = hash_sums(&gpu, &case).unwrap();
        assert_eq!(own, hash_sums(&gpu, &case).unwrap(), "{case:?}");
        assert_eq!(own, hash_sums(&emulated, &case).unwrap(), "{case:?}");
    }
}

//! The kernels' arithmetic and all that drives them, on a processor: what holds here on every machine holds on a GPU, but for speed.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use stagger_engine::kernel::Kernel;
use stagger_engine::kernel::conformance::{Case, Layout, cases, check, conformance};
use stagger_gpu_worker::cuda::CudaKernel;
use stagger_gpu_worker::cuda::emulated::{Emulated, Turns};
use stagger_gpu_worker::cuda::source::source;

const ROOM: u64 = 1 << 30;

fn kernel(turns: Turns) -> CudaKernel {
    CudaKernel::new(Arc::new(Emulated::new(ROOM, turns).unwrap()), None)
}

#[test]
fn the_kernels_conform() {
    let report = conformance(&kernel(Turns::Forwards), &cases(400, 12)).unwrap();
    println!("{report:?}");
    assert!(report.passes > 500, "{report:?}");
}

#[test]
fn a_bare_minimum_conforms() {
    let report = check(&kernel(Turns::Forwards), &Case::default()).unwrap();
    println!("{report:?}");
}

//! The device behind NVIDIA's driver.
//!
//! Memory comes from the driver's pool in the order of the queues, copies start from page-locked memory so that they
//! run beside computing, and no call waits but `download` and a copy whose page-locked memory is still being read.
#![allow(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{CUmemPool_attribute_enum, cudaError_enum};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaStream, DeviceRepr, DriverError, LaunchConfig, PinnedHostSlice,
    PushKernelArg, result, sys,
};
use cudarc::nvrtc::Ptx;

use super::compile;
use super::device::{Device, DeviceFunction, LaunchWork, Stream, THREADS, WORD};
use super::error::{CudaError, Result};

/// The most page-locked pieces for shards: one is filled while the other is read.
const SHARD_PIECES: usize = 2;
/// The most page-locked pieces for descriptors: a pass may queue many batches before the first is done.
const DESCRIPTOR_PIECES: usize = 64;
/// The most words of a kernel's arguments.
const ARGUMENTS: usize = 8;

/// A GPU.
#[derive(Debug)]
pub struct Gpu {
    name: String,
    context: Arc<CudaContext>,
    copy: Arc<CudaStream>,
    compute: Arc<CudaStream>,
    functions: HashMap<DeviceFunction, CudaFunction>,
    shards: Mutex<Ring>,
    descriptors: Mutex<Ring>,
    /// Launches since measuring began, each between two events.
    measured: Mutex<Option<Vec<Measured>>>,
}

/// A launch between two events.
#[derive(Debug)]
struct Measured {
    function: DeviceFunction,
    work: LaunchWork,
    events: (CudaEvent, CudaEvent),
}

/// A launch that was measured.
#[derive(Clone, Copy, Debug)]
pub struct LaunchTiming {
    /// The kernel.
    pub function: DeviceFunction,
    /// The least work of the launch.
    pub work: LaunchWork,
    /// Seconds on the device.
    pub seconds: f64,
}

/// The highest rates that a device can reach.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Bytes of its memory a second.
    pub bandwidth: f64,
    /// Double-precision operations a second, outside matrix units.
    pub operations: f64,
}

/// A kernel's structure of arguments, all of whose fields have 8 bytes.
#[repr(C)]
struct Arguments([u64; ARGUMENTS]);

// SAFETY: plain words without padding; a kernel is given as many of them as its structure has.
unsafe impl DeviceRepr for Arguments {}

/// Page-locked memory, and the event after which it was copied from.
#[derive(Debug)]
struct Piece {
    memory: PinnedHostSlice<u64>,
    copied: CudaEvent,
}

impl Drop for Piece {
    fn drop(&mut self) {
        // The memory is read until then. A device that fails reads nothing any more.
        self.copied.synchronize().ok();
    }
}

/// Pieces in the order in which they were copied from.
#[derive(Debug)]
struct Ring {
    pieces: VecDeque<Piece>,
    most: usize,
}

fn failed(what: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Failed { what, reason: format!("{error:?}") }
}

impl Gpu {
    /// Opens device number `ordinal` of this machine, with the kernels compiled for it.
    ///
    /// # Errors
    /// No driver, no such device, no compiler and no earlier result of it, or whatever the driver says. Never a panic.
    pub fn open(ordinal: usize) -> Result<Self> {
        // SAFETY: loading the driver's library runs its initialisers, as any program that uses CUDA does.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        // A driver too old for these bindings lacks symbols, at which cudarc panics.
        catch_unwind(AssertUnwindSafe(|| Self::connect(ordinal))).unwrap_or_else(|panic| {
            let reason = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned());
            Err(CudaError::Failed { what: "opening the device", reason })
        })
    }

    fn connect(ordinal: usize) -> Result<Self> {
        let context = CudaContext::new(ordinal).map_err(|error| CudaError::NoDevice(format!("{error:?}")))?;
        let open = failed("opening the device");
        if !context.has_async_alloc() {
            let reason = "it has no memory pools".to_owned();
            return Err(CudaError::Failed { what: "opening the device", reason });
        }
        keep_freed_memory(&context).map_err(&open)?;
        let (major, minor) = context.compute_capability().map_err(&open)?;
        let module = context
            .load_module(Ptx::from_src(compile::compile_kernels(major as u32, minor as u32)?))
            .map_err(failed("loading the kernels"))?;
        let load = |function: DeviceFunction| Ok((function, module.load_function(function.name())?));
        let functions = DeviceFunction::ALL.into_iter().map(load).collect::<std::result::Result<_, _>>();
        Ok(Self {
            name: context.name().map_err(&open)?,
            copy: context.new_stream().map_err(&open)?,
            compute: context.new_stream().map_err(&open)?,
            functions: functions.map_err(failed("loading the kernels"))?,
            shards: Mutex::new(Ring { pieces: VecDeque::new(), most: SHARD_PIECES }),
            descriptors: Mutex::new(Ring { pieces: VecDeque::new(), most: DESCRIPTOR_PIECES }),
            measured: Mutex::default(),
            context,
        })
    }

    /// Measures every launch from now on.
    pub fn start_measuring(&self) {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Ends measuring, waits for the launches, and returns their times.
    ///
    /// # Errors
    /// The driver's.
    pub fn finish_measuring(&self) -> Result<Vec<LaunchTiming>> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner).take();
        let all = measured.unwrap_or_default().into_iter().map(|launch| {
            let Measured { function, work, events: (begin, end) } = launch;
            let seconds = f64::from(begin.elapsed_ms(&end)?) / 1e3;
            Ok(LaunchTiming { function, work, seconds })
        });
        all.collect::<std::result::Result<_, _>>().map_err(failed("measuring"))
    }

    /// Returns the rates that the device can reach, by its clocks.
    ///
    /// # Errors
    /// The driver's.
    pub fn peaks(&self) -> Result<Peaks> {
        use sys::CUdevice_attribute_enum as Attribute;
        let value =
            |attribute| self.context.attribute(attribute).map(f64::from).map_err(failed("asking the device"));
        let clock = value(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)? * 1e3;
        let memory_clock = value(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)? * 1e3;
        let bus = value(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)? / 8.0;
        let processors = value(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let capability = self.context.compute_capability().map_err(failed("asking the device"))?;
        // Fused operations per clock and multiprocessor (CUDA C++ Programming Guide, arithmetic instructions).
        let lanes = match capability {
            (6, 0) | (7, 0) | (8, 0) => 32.0,
            (9, 0) | (10, 0) => 64.0,
            _ => 2.0,
        };
        // Two transfers per clock; a fused operation is two operations.
        Ok(Peaks { bandwidth: 2.0 * memory_clock * bus, operations: 2.0 * lanes * processors * clock })
    }

    fn mark(&self) -> Result<CudaEvent> {
        let event = self.compute.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT));
        event.map_err(failed("measuring"))
    }

    fn stream(&self, queue: Stream) -> &Arc<CudaStream> {
        match queue {
            Stream::Copy => &self.copy,
            Stream::Compute => &self.compute,
        }
    }
}

/// Keeps freed memory in the pool: giving it back to the system and taking it again would cost more than a pass.
fn keep_freed_memory(context: &CudaContext) -> std::result::Result<(), DriverError> {
    let mut all = u64::MAX;
    let attribute = CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    context.bind_to_thread()?;
    // SAFETY: the pool is the device's own, and the attribute is a 64-bit integer.
    unsafe {
        let mut pool = std::ptr::null_mut();
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()).result()?;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut all).cast())
    }
}

impl Ring {
    /// Returns a piece of at least `words` words that is not being read any more.
    fn take(&mut self, context: &Arc<CudaContext>, words: usize) -> std::result::Result<Piece, DriverError> {
        let free = self.pieces.front().is_some_and(|piece| piece.copied.is_complete());
        let reusable = free || self.pieces.len() >= self.most;
        if let Some(piece) = reusable.then(|| self.pieces.pop_front()).flatten() {
            piece.copied.synchronize()?;
            if piece.memory.len() >= words {
                return Ok(piece);
            }
        }
        let copied = context.new_event(None)?;
        // SAFETY: the memory is written before it is read, as plain words of any value.
        let memory = unsafe { context.alloc_pinned_with_flags::<u64>(words.next_power_of_two(), 0)? };
        Ok(Piece { memory, copied })
    }
}

impl Device for Gpu {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn available(&self) -> u64 {
        // Room for the driver's modules and pinned tables, and for other processes.
        const SPARED: u64 = 512 << 20;
        self.context.mem_get_info().map_or(0, |(free, _)| (free as u64).saturating_sub(SPARED))
    }

    fn allocate(&self, queue: Stream, words: usize) -> Result<u64> {
        let bytes = words as u64 * WORD;
        self.context.bind_to_thread().map_err(failed("allocating memory"))?;
        // SAFETY: the stream is of the bound context; what is in the memory is written before it is read.
        let address = unsafe { result::malloc_async(self.stream(queue).cu_stream(), bytes as usize) };
        address.map_err(|error| match error.0 {
            cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY => {
                CudaError::OutOfMemory { what: "a buffer", wanted: bytes, used: 0, limit: 0 }
            }
            _ => failed("allocating memory")(error),
        })
    }

    fn free(&self, address: u64) {
        // A copy to it may be under way where a pass has failed. Nobody can be told of errors here: the next call shows them.
        self.context.record_err(self.compute.join(&self.copy));
        // SAFETY: the address is of `allocate`, given back once, after all work that is queued.
        self.context.record_err(unsafe { result::free_async(address, self.compute.cu_stream()) });
    }

    fn upload(
        &self,
        queue: Stream,
        address: u64,
        words: usize,
        fill: &mut dyn FnMut(&mut [u64]),
    ) -> Result<()> {
        let copy = failed("copying to the device");
        let ring = if queue == Stream::Copy { &self.shards } else { &self.descriptors };
        let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut piece = ring.take(&self.context, words.max(1)).map_err(&copy)?;
        let memory = &mut piece.memory.as_mut_slice().map_err(&copy)?[..words];
        fill(memory);
        let stream = self.stream(queue);
        // SAFETY: the caller's memory has `words` words; the piece stays as it is until its event says that it was read.
        unsafe { result::memcpy_htod_async(address, memory, stream.cu_stream()) }.map_err(&copy)?;
        piece.copied.record(stream).map_err(&copy)?;
        ring.pieces.push_back(piece);
        Ok(())
    }

    fn download(&self, address: u64, out: &mut [f64]) -> Result<()> {
        let copy = failed("copying from the device");
        self.context.bind_to_thread().map_err(&copy)?;
        // SAFETY: the caller's memory has as many words as `out`, which stays borrowed until the stream is done.
        unsafe { result::memcpy_dtoh_async(out, address, self.compute.cu_stream()) }.map_err(&copy)?;
        self.compute.synchronize().map_err(&copy)
    }

    fn launch(&self, function: DeviceFunction, grid: u32, words: &[u64], work: LaunchWork) -> Result<()> {
        let mut arguments = Arguments([0; ARGUMENTS]);
        arguments.0[..words.len()].copy_from_slice(words);
        let config = LaunchConfig {
            grid_dim: (grid, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: function.shared_memory(),
        };
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = measured.is_some().then(|| self.mark()).transpose()?;
        let mut launch = self.compute.launch_builder(&self.functions[&function]);
        // SAFETY: the words are the kernel's structure, and its addresses lie in memory that is released only after this work.
        unsafe { launch.arg(&arguments).launch(config) }.map_err(failed(function.name()))?;
        if let (Some(measured), Some(begin)) = (measured.as_mut(), begin) {
            measured.push(Measured { function, work, events: (begin, self.mark()?) });
        }
        Ok(())
    }

    fn wait_for_copies(&self) -> Result<()> {
        self.compute.join(&self.copy).map_err(failed("waiting for copies"))
    }
}

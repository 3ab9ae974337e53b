//! The kernels on a processor: compiled by the system's C compiler behind `kernels/host.h`, with the threads of a
//! block one after the other.
//!
//! Mistakes that a device forbids show here as an error or as NaN: reading memory that was never written, writing
//! beyond a buffer or a block's shared memory, a barrier that some threads miss. With the order of threads and blocks
//! reversed the bits must stay.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libloading::Library;

use super::device::{Device, DeviceFunction, LaunchWork, Stream, THREADS};
use super::error::{CudaError, Result};
use super::source::source;

const HOST: &str = include_str!("../kernels/host.h");
/// A NaN that no computation makes: the content of memory before it is written, and around every buffer.
const UNWRITTEN: u64 = 0x7ff8_dead_dead_dead;
/// Words before and after every buffer that no kernel may write.
const FENCE: usize = 32;
const OPTIONS: [&str; 8] = [
    "-O2",
    "-ffp-contract=off",
    "-fno-stack-protector",
    "-U_FORTIFY_SOURCE",
    "-shared",
    "-fPIC",
    "-Wno-unknown-pragmas",
    "-xc",
];

/// The order in which threads and blocks take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThreadOrder {
    /// In the order of their numbers.
    #[default]
    Forwards,
    /// The last one first.
    Backwards,
}

/// A device emulated by the processor.
#[derive(Debug)]
pub struct EmulatedDevice {
    compiled: Arc<Compiled>,
    turns: ThreadOrder,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Compiled {
    library: Library,
    /// The lock of a launch: the emulation has one set of threads.
    busy: Mutex<()>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Buffers by address, fences included.
    buffers: BTreeMap<u64, Box<[u64]>>,
    available: u64,
    /// The first mistake that was found, to be reported at the next call.
    damage: Option<String>,
}

impl EmulatedDevice {
    /// Returns a device with `available` bytes, and the kernels as they are.
    ///
    /// # Errors
    /// No C compiler, or kernels that it refuses.
    pub fn new(available: u64, turns: ThreadOrder) -> Result<Self> {
        static COMPILED: OnceLock<Result<Arc<Compiled>>> = OnceLock::new();
        let compiled = COMPILED.get_or_init(|| compile(&source()).map(Arc::new)).clone()?;
        Ok(Self::with(compiled, available, turns))
    }

    /// Returns a device with kernels of another text, for tests that must find them wrong.
    ///
    /// # Errors
    /// No C compiler, or kernels that it refuses.
    pub fn with_source(text: &str, available: u64) -> Result<Self> {
        Ok(Self::with(Arc::new(compile(text)?), available, ThreadOrder::Forwards))
    }

    fn with(compiled: Arc<Compiled>, available: u64, turns: ThreadOrder) -> Self {
        let memory = Mutex::new(Memory { available, ..Memory::default() });
        Self { compiled, turns, memory }
    }

    /// Returns the number of buffers that were not freed.
    pub fn buffer_count(&self) -> usize {
        self.lock().buffers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(what: &'static str, reason: impl ToString) -> CudaError {
    CudaError::Failed { what, reason: reason.to_string() }
}

fn compile(text: &str) -> Result<Compiled> {
    let folder = tempfile_folder().map_err(|e| failed("compiling for the processor", e))?;
    let compiled = compile_in(&folder, text);
    // The library stays mapped; its file may go.
    std::fs::remove_dir_all(&folder).ok();
    compiled
}

fn tempfile_folder() -> std::io::Result<std::path::PathBuf> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("stagger-kernels-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn compile_in(folder: &Path, text: &str) -> Result<Compiled> {
    let (source, library) = (folder.join("kernels.c"), folder.join("kernels.so"));
    let what = "compiling for the processor";
    std::fs::write(&source, format!("{HOST}\n{text}")).map_err(|e| failed(what, e))?;
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    // Without the instruction every fma() is a call, which costs a hundred times as much and changes no bit.
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        command.arg("-mfma");
    }
    let output = command
        .args(OPTIONS)
        .arg(&source)
        .args(["-xnone", "-lm", "-o"])
        .arg(&library)
        .output()
        .map_err(|e| failed(what, format!("no C compiler: {e}")))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(CudaError::Compile { architecture: "the processor".to_owned(), log });
    }
    // SAFETY: the library has no code that runs when it is loaded.
    #[allow(unsafe_code)]
    let library = unsafe { Library::new(&library) }.map_err(|e| failed(what, e))?;
    Ok(Compiled { library, busy: Mutex::default() })
}

type Body = unsafe extern "C" fn(*const c_void);
type Launch = unsafe extern "C" fn(Body, *const c_void, u32, u32, u32, i32) -> i32;

impl Compiled {
    fn launch(&self, function: DeviceFunction, grid: u32, words: &[u64], turns: ThreadOrder) -> Result<()> {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let what = function.name();
        let name = format!("host_{what}");
        // SAFETY: the symbols have these types in host.h. The kernel reads the words that its structure has, all of which the caller
        // wrote; what their addresses point to is the device's memory, in which the caller works.
        #[allow(unsafe_code)]
        let status = unsafe {
            let launch = self.library.get::<Launch>(b"host_launch").map_err(|e| failed(what, e))?;
            let body = self.library.get::<Body>(name.as_bytes()).map_err(|e| failed(what, e))?;
            let backwards = i32::from(turns == ThreadOrder::Backwards);
            launch(*body, words.as_ptr().cast(), grid, THREADS, function.shared_memory(), backwards)
        };
        match status {
            0 => Ok(()),
            1 => Err(failed(what, "some threads of a block missed a barrier")),
            2 => Err(failed(what, "more threads or shared memory than there are")),
            _ => Err(failed(what, "a block wrote beyond its shared memory")),
        }
    }
}

impl Memory {
    /// Returns the words from an address on, which must lie in a buffer.
    fn words(&mut self, address: u64, count: usize) -> Option<&mut [u64]> {
        let (start, buffer) = self.buffers.range_mut(..=address).next_back()?;
        let first = FENCE + ((address - start) / 8) as usize;
        let last = buffer.len() - FENCE;
        (first + count <= last).then(|| &mut buffer[first..first + count])
    }

    fn check(&mut self) -> Result<()> {
        match self.damage.take() {
            Some(damage) => Err(failed("a kernel", damage)),
            None => Ok(()),
        }
    }

    fn inspect(&mut self) {
        let whole = |buffer: &[u64]| {
            let ends = buffer[..FENCE].iter().chain(&buffer[buffer.len() - FENCE..]);
            ends.copied().all(|word| word == UNWRITTEN)
        };
        if !self.buffers.values().all(|buffer| whole(buffer)) {
            self.damage = Some("it wrote beyond a buffer".to_owned());
        }
    }
}

impl Device for EmulatedDevice {
    fn name(&self) -> String {
        "kernels on the processor".to_owned()
    }

    fn available(&self) -> u64 {
        self.lock().available
    }

    fn allocate(&self, _queue: Stream, words: usize) -> Result<u64> {
        let mut memory = self.lock();
        let mut buffer = vec![UNWRITTEN; words + 2 * FENCE].into_boxed_slice();
        let address = buffer[FENCE..].as_mut_ptr().expose_provenance() as u64;
        memory.buffers.insert(address, buffer);
        Ok(address)
    }

    fn free(&self, address: u64) {
        self.lock().buffers.remove(&address);
    }

    fn upload(
        &self,
        _queue: Stream,
        address: u64,
        words: usize,
        fill: &mut dyn FnMut(&mut [u64]),
    ) -> Result<()> {
        let mut memory = self.lock();
        memory.check()?;
        fill(memory.words(address, words).ok_or_else(|| failed("a copy", "it goes beyond a buffer"))?);
        Ok(())
    }

    fn download(&self, address: u64, out: &mut [f64]) -> Result<()> {
        let mut memory = self.lock();
        memory.check()?;
        let words =
            memory.words(address, out.len()).ok_or_else(|| failed("a copy", "it goes beyond a buffer"))?;
        out.iter_mut().zip(words).for_each(|(value, word)| *value = f64::from_bits(*word));
        Ok(())
    }

    fn launch(&self, function: DeviceFunction, grid: u32, words: &[u64], _work: LaunchWork) -> Result<()> {
        self.compiled.launch(function, grid, words, self.turns)?;
        let mut memory = self.lock();
        memory.inspect();
        memory.check()
    }

    fn wait_for_copies(&self) -> Result<()> {
        Ok(())
    }
}

//! The processes that read mutations: what bounds them, and what is told of their end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Target;

/// Bytes that reading a file of some kilobytes may have allocated at once.
const MEMORY: usize = 128 << 20;
/// Time that it may take, with other processes beside it.
const TIME: Duration = Duration::from_secs(10);
/// Mutations of a target where nothing else is asked for.
const MUTATIONS: u64 = 200;
/// Faults of a target after which it is left.
const ENOUGH: usize = 5;
/// Processes at a time.
const AT_ONCE: usize = 2;

const CHILD: &str = "STAGGER_FUZZ_CHILD";
const PROGRESS: &str = "STAGGER_FUZZ_PROGRESS";
const FOLDER: &str = "STAGGER_FUZZ_FOLDER";

static LIVE: AtomicUsize = AtomicUsize::new(0);
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, which counts and ends the process beyond a bound. A test program that fuzzes makes it its own.
pub struct Bounded;

fn count(bytes: usize) {
    if LIVE.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > BOUND.load(Ordering::Relaxed) {
        BOUND.store(usize::MAX, Ordering::Relaxed);
        // Nobody may be there to read it.
        let _ = std::io::stderr().write_all(b"fault: memory beyond the bound\n");
        std::process::abort();
    }
}

// SAFETY: every call goes to the system's allocator as it is.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// The folder of this process, in memory where that is possible.
fn folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let own = || parent.join(format!("stagger-fuzz-{}", std::process::id()));
    std::env::var_os(FOLDER).map_or_else(own, PathBuf::from)
}

/// An empty folder for a target's files; it is removed when all targets are read.
///
/// # Panics
/// If it can't be made.
pub fn scratch(name: &str) -> PathBuf {
    let own = folder().join(name);
    let _ = fs::remove_dir_all(&own);
    fs::create_dir_all(&own).expect("a folder");
    own
}

/// Reads the mutations of all targets; `test` is the full name of the test that calls this, which is run again for each.
///
/// # Panics
/// With every fault found: its command, and where its bytes are.
pub fn fuzz(test: &str, targets: &[fn() -> Target]) {
    let faults = fuzz_within(test, targets, TIME);
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The same with a time for each mutation; returns the faults.
pub fn fuzz_within(test: &str, targets: &[fn() -> Target], time: Duration) -> Vec<String> {
    if let Ok(child) = std::env::var(CHILD) {
        read_all(&child, targets, time);
        return Vec::new();
    }
    let only = std::env::var("STAGGER_FUZZ_ONLY").ok();
    let only = only.as_deref().and_then(|only| only.rsplit_once(':'));
    let count = std::env::var("STAGGER_FUZZ_MUTATIONS").ok().and_then(|text| text.parse().ok());
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let target = target();
                    let range = match only {
                        Some((name, _)) if name != target.name => continue,
                        Some((_, number)) => number.parse().map_or(0..0, |number| number..number + 1),
                        None => 0..count.unwrap_or(MUTATIONS),
                    };
                    let found = Parent { test, target: &target }.run(range);
                    faults.lock().unwrap_or_else(|e| e.into_inner()).extend(found);
                }
            });
        }
    });
    // Another test of this process may still be at work in it.
    let _ = fs::remove_dir(folder());
    faults.into_inner().unwrap_or_else(|e| e.into_inner())
}

struct Parent<'a> {
    test: &'a str,
    target: &'a Target,
}

impl Parent<'_> {
    /// Starts processes until all mutations are read or enough faults are found.
    fn run(&self, mut range: std::ops::Range<u64>) -> Vec<String> {
        let begun = Instant::now();
        let kept = std::env::temp_dir();
        let progress =
            kept.join(format!("stagger-fuzz-{}-{}.progress", self.target.name, std::process::id()));
        let mut faults = Vec::new();
        let all = range.end - range.start;
        while !range.is_empty() && faults.len() < ENOUGH {
            let ended = self.start(&range, &progress);
            let at = number_in(&progress);
            if ended.status.success() && at == Some(range.end) {
                break;
            }
            let number = at.unwrap_or(range.start).min(range.end - 1);
            faults.push(self.told(number, &ended, &kept));
            range.start = number + 1;
        }
        let _ = fs::remove_file(&progress);
        for own in [self.target.name.to_owned(), format!("of-{}", self.target.name)] {
            let _ = fs::remove_dir_all(folder().join(own));
        }
        println!("{}: {all} mutations in {:.1} s", self.target.name, begun.elapsed().as_secs_f64());
        faults
    }

    fn start(&self, range: &std::ops::Range<u64>, progress: &Path) -> Output {
        let _ = fs::remove_file(progress);
        let program = std::env::current_exe().expect("a test has a path");
        Command::new(program)
            .args(["--exact", self.test, "--nocapture", "--test-threads=1", "--include-ignored"])
            .env(CHILD, format!("{}:{}:{}", self.target.name, range.start, range.end))
            .env(PROGRESS, progress)
            .env(FOLDER, folder().join(format!("of-{}", self.target.name)))
            .env_remove("RUST_BACKTRACE")
            .output()
            .expect("a test can be started again")
    }

    fn told(&self, number: u64, ended: &Output, folder: &Path) -> String {
        let name = self.target.name;
        let bytes: PathBuf = folder.join(format!("stagger-fuzz-{name}-{number}"));
        let kept = match fs::write(&bytes, self.target.mutation(number)) {
            Ok(()) => bytes.display().to_string(),
            Err(error) => format!("nowhere ({error})"),
        };
        let said = String::from_utf8_lossy(&ended.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = said[said.len().saturating_sub(6)..].join("\n    ");
        format!(
            "{name}: mutation {number}: {}\n    {last}\n    bytes: {kept}\n    again: STAGGER_FUZZ_ONLY={name}:{number} cargo test --workspace {} -- --exact {} --include-ignored",
            ended.status,
            program_argument(),
            self.test
        )
    }
}

/// How cargo is told which test program this is.
fn program_argument() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.rsplit_once('-').map_or(name.as_str(), |(name, _)| name);
    if name == "stagger" { "--bin stagger".to_owned() } else { format!("--test {name}") }
}

fn number_in(progress: &Path) -> Option<u64> {
    Some(u64::from_le_bytes(fs::read(progress).ok()?.try_into().ok()?))
}

/// Reads the mutations that a process was started for.
fn read_all(child: &str, targets: &[fn() -> Target], time: Duration) {
    let parts: Vec<&str> = child.split(':').collect();
    let [name, start, end] = parts[..] else { panic!("{CHILD} is {child:?}") };
    let target = targets.iter().map(|target| target()).find(|target| target.name == name).expect("a target");
    let (start, end): (u64, u64) = (start.parse().expect("a number"), end.parse().expect("a number"));
    let mut progress = std::env::var(PROGRESS).ok().and_then(|path| File::create(path).ok());
    let mut note = |number: u64| {
        if let Some(file) = &mut progress {
            file.seek(SeekFrom::Start(0))
                .and_then(|_| file.write_all(&number.to_le_bytes()))
                .expect("progress");
        }
    };
    // What is started once (threads, runtimes) is no mutation's.
    assert!((target.read)(&target.sound), "{name}: the sound file is not read");
    let watched = watch(time);
    let before = LIVE.load(Ordering::Relaxed);
    BOUND.store(before.saturating_add(MEMORY), Ordering::Relaxed);
    for number in start..end {
        note(number);
        watched.store(number + 1, Ordering::Relaxed);
        let bytes = target.mutation(number);
        if catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes))).is_err() {
            std::process::exit(101);
        }
    }
    BOUND.store(usize::MAX, Ordering::Relaxed);
    watched.store(0, Ordering::Relaxed);
    note(end);
}

/// Ends the process if it stays at one mutation for too long.
fn watch(time: Duration) -> &'static AtomicU64 {
    static AT: AtomicU64 = AtomicU64::new(0);
    std::thread::spawn(move || {
        let (mut known, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let at = AT.load(Ordering::Relaxed);
            if at != known {
                (known, since) = (at, Instant::now());
            } else if at != 0 && since.elapsed() > time {
                eprintln!("fault: no end within {} s", time.as_secs_f64());
                std::process::exit(99);
            }
        }
    });
    &AT
}

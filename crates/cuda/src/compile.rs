//! The kernels as PTX for a device: compiled by NVRTC at first use, and kept in the user's cache folder.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};

use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts, sys};
use xxhash_rust::xxh3::xxh3_128;

use super::error::{CudaError, Result};
use super::source::source;

/// Compiler options: products are fused with sums where the sources say so, and nowhere else.
const OPTIONS: [&str; 1] = ["--fmad=false"];

/// Returns PTX for a compute capability.
///
/// # Errors
/// No compiler on this machine and no earlier result of one, or kernels that do not compile.
pub(super) fn compile_kernels(major: u32, minor: u32) -> Result<String> {
    let architecture = format!("compute_{major}{minor}");
    let text = source();
    let name = format!("{:032x}", xxh3_128(format!("{architecture} {OPTIONS:?}\n{text}").as_bytes()));
    let folder = cache_folder();
    // SAFETY: loading the compiler's library runs its initialisers, as any program that uses it does.
    let version = unsafe { sys::is_culib_present() }.then(version).flatten();
    if let Some(known) = folder.as_deref().and_then(|folder| find(folder, &name, version.as_deref())) {
        return Ok(known);
    }
    let Some(version) = version else { return Err(CudaError::NoCompiler) };
    let compiled = compile(&text, &architecture)?;
    if let Some(folder) = folder {
        keep(&folder, &format!("{name}-{version}.ptx"), &compiled);
    }
    Ok(compiled)
}

fn version() -> Option<String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both are integers that outlive the call.
    let status = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    status.result().ok().map(|()| format!("{major}.{minor}"))
}

fn compile(text: &str, architecture: &str) -> Result<String> {
    let mut options: Vec<String> = OPTIONS.iter().map(|&option| option.to_owned()).collect();
    options.push(format!("--gpu-architecture={architecture}"));
    let options =
        CompileOptions { options, name: Some("stagger.cu".to_owned()), ..CompileOptions::default() };
    compile_ptx_with_opts(text, options).map(|ptx| ptx.to_src()).map_err(|error| {
        let log = match &error {
            CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => format!("{other:?}"),
        };
        CudaError::Compile { architecture: architecture.to_owned(), log }
    })
}

/// Returns the user's folder for compiled kernels.
fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("stagger").join("kernels"))
}

/// Returns an earlier result of this compiler; of any compiler, where there is none on this machine.
fn find(folder: &Path, name: &str, version: Option<&str>) -> Option<String> {
    let wanted = match version {
        Some(version) => format!("{name}-{version}.ptx"),
        None => {
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .ok()?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|file| file.starts_with(name) && file.ends_with(".ptx"))
                .collect();
            names.sort_unstable();
            names.pop()?
        }
    };
    std::fs::read_to_string(folder.join(wanted)).ok().filter(|text| text.contains(".entry"))
}

/// Keeps PTX for the next start. A folder that can't be written costs that start a second, and no more.
fn keep(folder: &Path, name: &str, text: &str) {
    let temporary = folder.join(format!("{name}.{}", std::process::id()));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&temporary, text))
        .and_then(|()| std::fs::rename(&temporary, folder.join(name)));
    if written.is_err() {
        std::fs::remove_file(&temporary).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_by_its_compiler_or_without_one() {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path(), "abc-12.9.ptx", ".entry one");
        keep(folder.path(), "abc-12.8.ptx", ".entry two");
        assert_eq!(find(folder.path(), "abc", Some("12.8")).unwrap(), ".entry two");
        assert_eq!(find(folder.path(), "abc", Some("12.1")), None);
        assert_eq!(find(folder.path(), "abc", None).unwrap(), ".entry one");
        assert_eq!(find(folder.path(), "abd", None), None);
        // A file that was not written to its end is no result.
        keep(folder.path(), "cut-12.9.ptx", "// nothing");
        assert_eq!(find(folder.path(), "cut", Some("12.9")), None);
    }
}

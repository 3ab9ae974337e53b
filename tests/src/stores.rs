//! Prepared stores: made by the program, compared byte by byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Output, command, finish, words};

/// Options of `prepare` among those of `run`.
const KEPT: [&str; 11] = [
    "--yname",
    "--tname",
    "--gname",
    "--idname",
    "--pname",
    "--xformla",
    "--weightsname",
    "--clustervars",
    "--cluster",
    "--panel",
    "--allow-unbalanced-panel",
];

/// The command that prepares `store` from `data` with the columns that the options of a run name.
pub fn prepare_command(data: &Path, options: &str, store: &Path, more: &str) -> Command {
    let mut all = command();
    all.arg("prepare").arg(data).arg("--out").arg(store);
    let given = words(options);
    for pair in given.windows(2).filter(|pair| KEPT.contains(&pair[0].as_str())) {
        all.args(pair);
    }
    all.args(words(more));
    all
}

/// Prepares a store.
pub fn prepare(data: &Path, options: &str, store: &Path, more: &str) -> Output {
    finish(&mut prepare_command(data, options, store, more))
}

/// Every file below a folder, by its path in it, but for locks.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = std::fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with("lock") {
                let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                out.insert(path.strip_prefix(folder).expect("below the folder").to_path_buf(), bytes);
            }
        }
    }
    out
}

/// The shards of a store, which do not depend on the layout of the input.
pub fn shards(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(folder);
    all.retain(|path, _| path.starts_with("shards"));
    assert!(!all.is_empty(), "{} has no shards", folder.display());
    all
}

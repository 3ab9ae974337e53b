//! Recognition of a local file by its first and last bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use stagger_storage::disk;

use super::files::file_name;
use super::format::{DetectedFormat, HEAD, PACKED_HEAD, TAIL, detect_format, needs_more};

/// Recognises the format of a local file.
pub(super) fn detect_file_format(path: &Path) -> io::Result<DetectedFormat> {
    let (file, meta) = disk::open_regular(path)?;
    peek_into(&file_name(path), &file, meta.len())
}

/// Recognises the format of an opened file of `bytes` bytes.
pub(super) fn peek_into(name: &str, file: &File, bytes: u64) -> io::Result<DetectedFormat> {
    let mut head = vec![0; HEAD.min(usize::try_from(bytes).unwrap_or(HEAD))];
    file.read_exact_at(&mut head, 0)?;
    if needs_more(&head) {
        head.resize(PACKED_HEAD.min(usize::try_from(bytes).unwrap_or(PACKED_HEAD)), 0);
        file.read_exact_at(&mut head, 0)?;
    }
    let mut tail = [0; TAIL];
    let tail = &mut tail[..TAIL.min(head.len())];
    file.read_exact_at(tail, bytes - tail.len() as u64)?;
    Ok(detect_format(name, &head, tail))
}

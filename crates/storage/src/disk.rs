//! Local files, opened only if they are regular files: a FIFO would block until it has a writer, and a device has no
//! end.

use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The largest run file or price list, in bytes: texts that people write.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;
/// The largest file that a run wrote, in bytes: a result with the covariance of thousands of cells, or an event log.
pub const MAX_RECORD_BYTES: u64 = 2 << 30;

/// Returns a file name that nobody can guess: `prefix`, the 16 hexadecimal digits of 64 random bits of the system, `suffix`.
pub fn random_name(prefix: &str, suffix: &str) -> String {
    format!("{prefix}{:016x}{suffix}", RandomState::new().hash_one(std::process::id()))
}

/// Opens a regular file for reading, and returns its metadata too.
///
/// # Errors
/// The errors of [`File::open`], and [`ErrorKind::InvalidInput`] for folders, FIFOs, sockets and devices, with the kind
/// in the message. None of them blocks.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    // Opening some devices has effects, so the type is checked before.
    check_regular(&fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let meta = file.metadata()?;
    check_regular(&meta)?;
    Ok((file, meta))
}

/// Refuses everything but regular files.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], with the kind of the file.
pub fn check_regular(meta: &Metadata) -> io::Result<()> {
    match irregular(meta) {
        None => Ok(()),
        Some(kind) => {
            Err(io::Error::new(ErrorKind::InvalidInput, format!("not a regular file but a {kind}")))
        }
    }
}

/// Returns the kind of a file that is not regular; `None` for regular files.
fn irregular(meta: &Metadata) -> Option<&'static str> {
    let kind = meta.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("folder")
    } else if kind.is_fifo() {
        Some("FIFO")
    } else if kind.is_socket() {
        Some("socket")
    } else {
        Some("device")
    }
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// The errors of [`open_regular`], and a file that is larger or grows beyond `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, meta) = open_regular(path)?;
    if meta.len() > most {
        return Err(too_large(meta.len(), most));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_large(bytes.len() as u64, most)),
        false => Ok(bytes),
    }
}

/// Reads the text of a regular file of at most `most` bytes.
///
/// # Errors
/// The errors of [`read`], and bytes that are not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the file is no text in UTF-8"))
}

fn too_large(bytes: u64, most: u64) -> io::Error {
    let text = format!("the file has at least {bytes} bytes, and at most {most} are read of such a file");
    io::Error::new(ErrorKind::FileTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        stagger_test_support::system::make_fifo(&fifo).unwrap();
        let zero = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        for (path, kind) in [(fifo.as_path(), "FIFO"), (&zero, "device"), (folder.path(), "folder")] {
            let error = open_regular(path).unwrap_err().to_string();
            assert_eq!(error, format!("not a regular file but a {kind}"));
        }
    }

    #[test]
    fn large_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read_text(&path, 5).unwrap_err().to_string().contains("UTF-8"));
    }
}

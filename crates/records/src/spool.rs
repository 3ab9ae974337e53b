//! Temporary files without a name, which vanish with the process: bytes of standard input, and tables that were decoded
//! once to be read several times.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

use stagger_model::error::StaggerError;
use stagger_storage::disk;
use xxhash_rust::xxh3::Xxh3;

use crate::parquet_file::LocalFile;

/// The number of bytes copied at once.
const BLOCK: usize = 1 << 20;

/// A temporary file that is complete.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    bytes: u64,
}

impl Spool {
    /// Returns a new file in the folder for temporary files, which has no name any more.
    pub(super) fn create() -> io::Result<File> {
        let path = std::env::temp_dir().join(disk::random_name("stagger-", ".tmp"));
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    /// Takes a file that was written.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), bytes })
    }

    /// Copies a stream to its end, and returns the digest of its bytes too. Errors of the stream come first in the pair,
    /// those of the temporary file second.
    pub(super) fn copy(mut from: impl Read) -> io::Result<(Self, u128)> {
        let mut file = Self::create()?;
        let mut digest = Xxh3::new();
        let mut block = vec![0; BLOCK];
        loop {
            let read = match from.read(&mut block) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            digest.update(&block[..read]);
            file.write_all(&block[..read])?;
        }
        Ok((Self::new(file)?, digest.digest128()))
    }

    /// Returns the size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the file for reads at given positions.
    pub(super) fn local_file(&self) -> io::Result<LocalFile> {
        Ok(LocalFile::new(self.file.try_clone()?, self.bytes))
    }

    /// Returns a reader with a position of its own, at the start.
    pub(super) fn reader(&self) -> SpoolReader {
        SpoolReader { spool: self.clone(), at: 0 }
    }
}

/// Returns the error for a temporary file that can't be written.
pub(super) fn spool_error(error: &io::Error) -> StaggerError {
    let folder = std::env::temp_dir().display().to_string();
    StaggerError::failed(format!("a temporary file in `{folder}` can't be written: {error}"))
        .with_hint("TMPDIR names a folder with more room")
}

/// A reader of a temporary file. Several readers of one file do not share a position.
#[derive(Clone, Debug)]
pub(super) struct SpoolReader {
    spool: Spool,
    at: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.spool.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.spool.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_bytes_and_no_position() {
        let (spool, digest) = Spool::copy(&b"abcdef"[..]).unwrap();
        assert_eq!(spool.bytes(), 6);
        assert_eq!(digest, Spool::copy(&b"abcdef"[..]).unwrap().1);
        let (mut one, mut two) = (spool.reader(), spool.reader());
        let mut text = [0; 3];
        one.seek(SeekFrom::End(-3)).unwrap();
        one.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"def");
        two.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"abc");
    }
}

//! `checksums.json`, which tells a result's files from damaged ones, and from those of another run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stagger_model::failure::Failure;
use stagger_storage::disk;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The file of the checksums.
pub const CHECKSUMS: &str = "checksums.json";
/// The algorithm of the checksums.
const ALGORITHM: &str = "xxh3-128";
/// A list of a dozen files is a thousand bytes.
const MOST: u64 = 1 << 20;

/// The files of one result, with a checksum each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    algorithm: String,
    /// Digits by name.
    files: BTreeMap<String, String>,
}

impl Checksums {
    /// Names of the files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Returns true if a file is one of the result's.
    pub fn lists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }
}

/// Writes the checksums of all files in a folder, which is complete without them.
///
/// # Errors
/// Those of the file system.
pub fn write(folder: &Path) -> io::Result<()> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.insert(
            entry.file_name().to_string_lossy().into_owned(),
            sum_of(&mut File::open(entry.path())?)?,
        );
    }
    let list = Checksums { algorithm: ALGORITHM.to_owned(), files };
    let mut file = File::create(folder.join(CHECKSUMS))?;
    serde_json::to_writer_pretty(&mut file, &list)?;
    writeln!(file)?;
    file.sync_all()
}

fn sum_of(file: &mut File) -> io::Result<String> {
    let mut sum = Xxh3::new();
    io::copy(file, &mut Sink(&mut sum))?;
    Ok(digits(sum.digest128()))
}

struct Sink<'a>(&'a mut Xxh3);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digits(sum: u128) -> String {
    format!("{sum:032x}")
}

/// Reads the checksums in a folder; `None` where there are none.
///
/// # Errors
/// A damaged list.
pub fn read(folder: &Path) -> Result<Option<Checksums>, Failure> {
    use std::io::Read;
    let path = folder.join(CHECKSUMS);
    let file = match disk::open_regular(&path) {
        Ok((file, _)) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(Failure::read(&path, &source)),
    };
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(|source| Failure::read(&path, &source))?;
    let list: Checksums = serde_json::from_str(&text).map_err(|error| damaged(&path, &error.to_string()))?;
    match list.algorithm == ALGORITHM {
        true => Ok(Some(list)),
        false => Err(damaged(&path, &format!("it names an algorithm that is not {ALGORITHM}"))),
    }
}

fn damaged(path: &Path, reason: &str) -> Failure {
    Failure::input(format!("{} is damaged: {reason}", path.display()))
        .hint("run it again with --out, or take the folder from a copy")
}

/// A folder whose files are compared with their checksums as they are read.
#[derive(Clone, Debug)]
pub struct VerifiedFolder {
    folder: PathBuf,
    sums: Option<Checksums>,
}

impl VerifiedFolder {
    /// Of the folder of a result; one of an older program has no checksums, and is read as it is.
    ///
    /// # Errors
    /// A damaged list.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { folder: folder.to_owned(), sums: read(folder)? })
    }

    /// Files that belong to no result.
    pub fn unverified(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), sums: None }
    }

    /// Returns true if the folder has checksums to compare with.
    pub fn has_sums(&self) -> bool {
        self.sums.is_some()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Without its file, or with other bytes than were written.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(name);
        let bytes =
            disk::read(&path, disk::MAX_RECORD_BYTES).map_err(|source| Failure::read(&path, &source))?;
        self.compare(name, &bytes)?;
        Ok(bytes)
    }

    /// Compares bytes that were read with the checksum.
    ///
    /// # Errors
    /// Other bytes than were written.
    pub fn compare(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.sums.as_ref().map_or(Ok(()), |sums| self.matches(sums, name, &digits(xxh3_128(bytes))))
    }

    /// Compares a file that is too large to be held with the checksum, and goes back to its beginning.
    ///
    /// # Errors
    /// Other bytes than were written, or a file that can't be read.
    pub fn compare_file(&self, name: &str, file: &mut File) -> Result<(), Failure> {
        let Some(sums) = &self.sums else { return Ok(()) };
        let failed = |source: io::Error| Failure::read(&self.folder.join(name), &source);
        let sum = sum_of(file).map_err(failed)?;
        file.rewind().map_err(failed)?;
        self.matches(sums, name, &sum)
    }

    fn matches(&self, sums: &Checksums, name: &str, found: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        match sums.files.get(name) {
            None => Err(damaged(&path, &format!("{CHECKSUMS} does not list it as a file of the result"))),
            Some(sum) if sum != found => {
                Err(damaged(&path, &format!("its bytes are not those that were written, by {CHECKSUMS}")))
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draws");
        let whole: Vec<u8> = (0..200u8).collect();
        fs::write(&path, &whole).unwrap();
        write(folder.path()).unwrap();
        let read = || VerifiedFolder::open(folder.path()).and_then(|checked| checked.read("draws"));
        assert_eq!(read().unwrap(), whole);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(read().unwrap_err().to_string().contains("draws is damaged"), "bit {bit}");
        }
        fs::write(&path, &whole).unwrap();
        let list = fs::read(folder.path().join(CHECKSUMS)).unwrap();
        for bit in 0..list.len() * 8 {
            let mut bytes = list.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join(CHECKSUMS), &bytes).unwrap();
            // A blank for another blank changes nothing.
            assert!(
                read().is_ok_and(|read| read == whole)
                    || read().unwrap_err().to_string().contains("damaged")
                    || read().unwrap_err().to_string().contains("can't read"),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_listed_is_of_another_result() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        fs::write(folder.path().join("draws"), "").unwrap();
        let refused = VerifiedFolder::open(folder.path()).unwrap().read("draws").unwrap_err();
        assert!(refused.to_string().contains("does not list it"), "{refused}");
        assert!(!VerifiedFolder::unverified(folder.path()).has_sums());
    }
}

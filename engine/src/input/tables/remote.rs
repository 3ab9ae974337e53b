//! Tables below a prefix of a bucket.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use super::{Folder, Snapshot, delta, table_at};
use crate::error::Result;
use crate::input::remote::failure;
use crate::store::{ObjectInfo, Storage, StoreErrorKind};

/// Tables of a bucket by prefix (empty, or with a slash at its end), each looked for once.
pub(in crate::input) struct RemoteTables<'a> {
    storage: &'a Storage,
    bucket: &'a str,
    /// What was listed, by key, and the prefix that it was listed by: what lies below it need not be asked for again.
    listed: &'a [ObjectInfo],
    prefix: &'a str,
    known: HashMap<String, Option<Rc<Snapshot>>>,
}

impl<'a> RemoteTables<'a> {
    /// Tables of a bucket of which the objects below `prefix` are listed.
    pub(in crate::input) fn new(
        storage: &'a Storage,
        bucket: &'a str,
        prefix: &'a str,
        listed: &'a [ObjectInfo],
    ) -> Self {
        Self { storage, bucket, listed, prefix, known: HashMap::new() }
    }

    /// The table that the prefix is, if it is one.
    fn at(&mut self, prefix: &str) -> Result<Option<Rc<Snapshot>>> {
        if let Some(known) = self.known.get(prefix) {
            return Ok(known.clone());
        }
        let table = table_at(&InBucket { tables: self, folder: prefix })?.map(Rc::new);
        self.known.insert(prefix.to_owned(), table.clone());
        Ok(table)
    }

    /// The nearest table that an object is in, with its prefix.
    ///
    /// # Errors
    /// A table that is not read.
    pub(in crate::input) fn above(&mut self, key: &str) -> Result<Option<(String, Rc<Snapshot>)>> {
        let slashes = key.match_indices('/').map(|(at, _)| at + 1).rev().chain([0]);
        for prefix in slashes.map(|end| &key[..end]) {
            if let Some(snapshot) = self.at(prefix)? {
                return Ok(Some((prefix.to_owned(), snapshot)));
            }
        }
        Ok(None)
    }
}

impl RemoteTables<'_> {
    /// Refuses tables of which files below the listed prefix are missing.
    ///
    /// # Errors
    /// The first such file.
    pub(in crate::input) fn all_there(&self, listed: &[ObjectInfo]) -> Result<()> {
        for (root, table) in self.known.iter().filter_map(|(root, table)| Some((root, table.as_ref()?))) {
            for path in table.files.keys() {
                let key = format!("{root}{path}");
                let there = listed.binary_search_by(|object| object.key.as_str().cmp(&key)).is_ok();
                if key.starts_with(self.prefix) && !there {
                    return Err(delta::gone(&format!("s3://{}/{root}", self.bucket), path));
                }
            }
        }
        Ok(())
    }
}

struct InBucket<'a> {
    tables: &'a RemoteTables<'a>,
    folder: &'a str,
}

impl Folder for InBucket<'_> {
    fn name(&self) -> String {
        format!("s3://{}/{}", self.tables.bucket, self.folder)
    }

    fn names(&self, below: &str) -> Result<Vec<String>> {
        let folder = format!("{}{below}/", self.folder);
        let name = |object: &ObjectInfo| object.key.strip_prefix(&folder).map(str::to_owned);
        if folder.starts_with(self.tables.prefix) {
            let listed = self.tables.listed;
            let first = listed.partition_point(|object| object.key < folder);
            return Ok(listed[first..].iter().map_while(name).collect());
        }
        match self.tables.storage.list(&folder) {
            Ok(listed) => Ok(listed.iter().filter_map(name).collect()),
            // Rights may end at the prefix that was named: then there is no table to see above it.
            Err(error) if error.kind == StoreErrorKind::Denied => Ok(Vec::new()),
            Err(error) => Err(failure(error)),
        }
    }

    fn read(&self, path: &str) -> Result<Bytes> {
        let key = format!("{}{path}", self.folder);
        Ok(self.tables.storage.get(&key, None).map_err(failure)?.0)
    }
}

//! Tables below a prefix of a bucket.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use stagger_model::error::Result;
use stagger_storage::{ObjectInfo, Storage, StoreErrorKind};

use super::{Folder, Snapshot, delta, table_at};
use crate::remote::storage_error;

/// The tables of a bucket by prefix (empty, or ending in a slash), each looked for once.
pub(crate) struct RemoteTables<'a> {
    storage: &'a Storage,
    bucket: &'a str,
    /// The objects that were listed, by key, and the prefix of that list: objects below it need no further request.
    listed: &'a [ObjectInfo],
    prefix: &'a str,
    known: HashMap<String, Option<Rc<Snapshot>>>,
}

impl<'a> RemoteTables<'a> {
    /// Returns the tables of a bucket whose objects below `prefix` are listed.
    pub(crate) fn new(
        storage: &'a Storage,
        bucket: &'a str,
        prefix: &'a str,
        listed: &'a [ObjectInfo],
    ) -> Self {
        Self { storage, bucket, listed, prefix, known: HashMap::new() }
    }

    /// Returns the table that the prefix is, if it is one.
    fn at(&mut self, prefix: &str) -> Result<Option<Rc<Snapshot>>> {
        if let Some(known) = self.known.get(prefix) {
            return Ok(known.clone());
        }
        let table = table_at(&InBucket { tables: self, folder: prefix })?.map(Rc::new);
        self.known.insert(prefix.to_owned(), table.clone());
        Ok(table)
    }

    /// Returns the nearest table that holds an object, with its prefix.
    ///
    /// # Errors
    /// A table that can't be read.
    pub(crate) fn above(&mut self, key: &str) -> Result<Option<(String, Rc<Snapshot>)>> {
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
    /// Refuses tables with missing files below the listed prefix.
    ///
    /// # Errors
    /// Names the first such file.
    pub(crate) fn all_there(&self, listed: &[ObjectInfo]) -> Result<()> {
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
            // The credentials may not reach above the prefix that was named: then no table above it is visible.
            Err(error) if error.kind == StoreErrorKind::Denied => Ok(Vec::new()),
            Err(error) => Err(storage_error(error)),
        }
    }

    fn read(&self, path: &str) -> Result<Bytes> {
        let key = format!("{}{path}", self.folder);
        Ok(self.tables.storage.get(&key, None).map_err(storage_error)?.0)
    }
}

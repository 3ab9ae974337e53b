//! Avro object containers, by the crate `arrow-avro`.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use arrow_array::RecordBatch;
use arrow_avro::reader::{Reader, ReaderBuilder};
use arrow_schema::SchemaRef;
use stagger_model::error::{Result, StaggerError};

use super::flatten::paths;
use super::watched::Watched;
use super::{Decoder, TableBytes, TableFormat, damaged};
use crate::read::BATCH_ROWS;

/// An Avro file that is being decoded.
pub(super) struct AvroDecoder {
    name: String,
    reader: Reader<BufReader<Shared>>,
    /// The last bytes that were read.
    last: Rc<Cell<[u8; MARK]>>,
}

/// The length of the mark that ends every block of a file.
const MARK: usize = 16;

/// The bytes of a file, whose last ones are shared with the decoder.
struct Shared {
    inner: Watched<Box<dyn Read + Send>, MARK>,
    last: Rc<Cell<[u8; MARK]>>,
}

impl Read for Shared {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.last.set(self.inner.last());
        Ok(read)
    }
}

impl AvroDecoder {
    pub(super) fn open(bytes: &TableBytes<'_>) -> Result<Self> {
        let last = Rc::new(Cell::new([0; MARK]));
        let shared = Shared { inner: Watched::new(bytes.stream()?), last: Rc::clone(&last) };
        let stream = BufReader::with_capacity(1 << 20, shared);
        let reader = ReaderBuilder::new().with_batch_size(BATCH_ROWS).build(stream);
        Ok(Self { name: bytes.name.clone(), reader: reader.map_err(|error| bytes.damaged(error))?, last })
    }

    fn damaged(&self, error: &dyn std::error::Error) -> StaggerError {
        damaged(&self.name, TableFormat::Avro, &error.to_string())
    }
}

impl Decoder for AvroDecoder {
    fn names(&self) -> Vec<String> {
        paths(&self.reader.schema())
    }

    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self.reader.next() {
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(self.damaged(&error)),
            // The reader takes the end of the bytes for the end of the blocks.
            None if self.last.get() != self.reader.avro_header().sync() => {
                Err(damaged(&self.name, TableFormat::Avro, "it ends within a block"))
            }
            None => Ok(None),
        }
    }
}

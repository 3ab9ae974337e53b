//! Arrow IPC, as a stream. A file (Feather) is a stream behind eight bytes, followed by a footer.

use std::io::{self, BufRead, BufReader, Read};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::SchemaRef;
use stagger_model::error::Result;

use super::flatten::paths;
use super::watched::Watched;
use super::{Decoder, TableBytes, TableFormat, damaged};

/// The length of the mark at the start of a file.
const MARK: u64 = 8;
/// The end of a stream, as writers of today write it.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A stream or file that is being decoded.
pub(super) struct ArrowDecoder {
    name: String,
    format: TableFormat,
    reader: StreamReader<Watched<BufReader<Box<dyn Read + Send>>, 8>>,
}

impl ArrowDecoder {
    pub(super) fn open(bytes: &TableBytes<'_>) -> Result<Self> {
        let mut stream = BufReader::with_capacity(1 << 20, bytes.stream()?);
        if bytes.format == TableFormat::ArrowFile {
            io::copy(&mut (&mut stream).take(MARK), &mut io::sink()).map_err(|error| bytes.damaged(error))?;
            skip_padding(&mut stream).map_err(|error| bytes.damaged(error))?;
        }
        let reader = StreamReader::try_new(Watched::new(stream), None);
        let reader = reader.map_err(|error| bytes.damaged(error))?;
        Ok(Self { name: bytes.name.clone(), format: bytes.format, reader })
    }
}

/// Skips the zeros by which some writers align the first message, which begins with another byte.
fn skip_padding(stream: &mut impl BufRead) -> io::Result<()> {
    const MOST: usize = 512;
    for _ in 0..MOST {
        match stream.fill_buf()?.first() {
            Some(0) => stream.consume(1),
            _ => break,
        }
    }
    Ok(())
}

impl ArrowDecoder {
    /// Reads what follows the rows; returns `true` if it ends with the mark of a file.
    fn ends_as_file(&mut self) -> bool {
        let rest = self.reader.get_mut();
        io::copy(&mut *rest, &mut io::sink()).is_ok() && rest.last().ends_with(b"ARROW1")
    }
}

impl Decoder for ArrowDecoder {
    fn names(&self) -> Vec<String> {
        paths(&self.reader.schema())
    }

    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let (name, format) = (self.name.clone(), self.format);
        let broken = |reason: &str| damaged(&name, format, reason);
        match self.reader.next() {
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(broken(&error.to_string())),
            // The reader takes the end of the bytes for the end of the stream.
            None if self.reader.get_ref().last() != END => Err(broken("it ends without the mark of its end")),
            None if self.format == TableFormat::ArrowFile && !self.ends_as_file() => {
                Err(broken("it ends without its footer"))
            }
            None => Ok(None),
        }
    }
}

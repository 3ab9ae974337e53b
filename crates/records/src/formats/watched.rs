//! A reader that keeps its last bytes, in which a format marks its end.

use std::io::{self, Read};

/// A reader that keeps its last `N` bytes.
pub(super) struct Watched<R, const N: usize> {
    inner: R,
    last: [u8; N],
}

impl<R: Read, const N: usize> Watched<R, N> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, last: [0xaa; N] }
    }

    /// Returns the last bytes that were read.
    pub(super) fn last(&self) -> [u8; N] {
        self.last
    }
}

impl<R: Read, const N: usize> Read for Watched<R, N> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        for &byte in &into[read.saturating_sub(N)..read] {
            self.last.rotate_left(1);
            self.last[N - 1] = byte;
        }
        Ok(read)
    }
}

//! A small HTTP client that hides nothing: no retries, no pool, and errors as the socket gives them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take: a server that hangs must fail a test, not stop it.
const PATIENCE: Duration = Duration::from_secs(120);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decoded if it came in chunks.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages and error codes.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection, which is kept between requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    authority: String,
}

impl Connection {
    /// Connects to `http://HOST:PORT`.
    ///
    /// # Errors
    /// What the network brings.
    pub fn open(url: &str) -> io::Result<Self> {
        let authority = authority(url).to_owned();
        let stream = TcpStream::connect(&authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), authority })
    }

    /// Sends a request and reads the answer. The body goes out as it is, with its length unless the headers name a
    /// transfer encoding.
    ///
    /// # Errors
    /// `ConnectionReset` for a reset, `UnexpectedEof` if the connection ends before the answer does, and what else
    /// the network brings.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        self.send_head(method, path, headers, body.len())?;
        self.stream.get_mut().write_all(body)?;
        self.receive(method)
    }

    fn send_head(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.authority);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
            head += &format!("Content-Length: {length}\r\n");
        }
        self.stream.get_mut().write_all((head + "\r\n").as_bytes())
    }

    fn receive(&mut self, method: &str) -> io::Result<Reply> {
        let mut reply = self.receive_head()?;
        while reply.status == 100 {
            reply = self.receive_head()?;
        }
        if method != "HEAD" && !matches!(reply.status, 204 | 304) {
            reply.body = self.receive_body(&reply)?;
        }
        Ok(reply)
    }

    fn receive_head(&mut self) -> io::Result<Reply> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| malformed("status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Reply { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn receive_body(&mut self, reply: &Reply) -> io::Result<Vec<u8>> {
        if reply.header("transfer-encoding").is_some() {
            return self.chunks();
        }
        if let Some(length) = reply.header("content-length") {
            return self.exactly(length.parse().map_err(|_| malformed("content-length"))?);
        }
        let mut body = Vec::new();
        self.stream.read_to_end(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = size.split(';').next().and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
            let size = size.ok_or_else(|| malformed("chunk size"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.line()?;
        }
    }

    fn exactly(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut bytes)?;
        let received = bytes.len() as u64;
        if received < length {
            let text = format!("the body ended after {received} of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in the head"));
        }
        Ok(line.trim_end().to_owned())
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// As [`Connection::send`].
pub fn request(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    Connection::open(url)?.send(method, path, headers, body)
}

/// `HOST:PORT` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}

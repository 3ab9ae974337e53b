//! A server that answers from a script, for tests of clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// Sends the answer, or what a dead server sends.
pub type Script = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Answers one request on each connection, each on a thread of its own; tells the requests' heads, in lower case.
pub fn serve(script: Script) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    let script = std::sync::Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (tell, script) = (tell.clone(), std::sync::Arc::clone(&script));
            std::thread::spawn(move || {
                let head = read(&stream);
                // Told before it is answered: a client that has its answer may look at once.
                let _ = tell.send(head.clone());
                let _ = (&stream).write_all(script(&head).as_bytes());
            });
        }
    });
    (url, told)
}

fn read(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = String::new();
    reader.take(length.unwrap_or(0)).read_to_string(&mut body).unwrap();
    head + &body
}

/// Returns the text of an HTTP response.
pub fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Returns settings that send the requests of clients to such a server.
pub fn shared_config(url: &str) -> aws_config::SdkConfig {
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "id", "secret", None, None, "test",
        )))
        .http_client(super::https())
        .endpoint_url(url)
        .build()
}

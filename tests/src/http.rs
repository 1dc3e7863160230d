//! The pages of an agent, as monitoring fetches them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Status line and body; `None` while nobody answers.
pub fn get(address: &str, page: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

/// The value of a metric without labels, or with exactly these (`name{job="x"}`); `None` while it is not
/// told.
pub fn metric(address: &str, name: &str) -> Option<f64> {
    let (_, body) = get(address, "/metrics")?;
    body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

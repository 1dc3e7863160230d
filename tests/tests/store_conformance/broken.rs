//! A server of a few lines that answers each connection with the next line of a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use lifeboat::store::{Store, StoreOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What one connection gets; the last line of a script goes on for ever.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing, ever.
    Hang,
    /// A status and a body.
    Status(u16, &'static str),
    /// The head of an object of so many bytes, then some of them, then the end.
    Cut { announced: usize, sent: usize },
    /// The same, and then silence.
    Stall { announced: usize, sent: usize },
    /// A whole object, or the range that was asked for.
    Object(usize),
}

pub struct Broken {
    pub store: Store,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Broken {
    pub async fn start(script: Vec<Answer>) -> Broken {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let n = count.fetch_add(1, SeqCst);
                let answer = script[n.min(script.len() - 1)].clone();
                running.spawn(async move {
                    let _ = serve(socket, answer).await;
                });
            }
        });
        Broken { store: open(&endpoint), connections, task }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A store with short limits.
pub fn open(endpoint: &str) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    lifeboat::disk::write_new_durable(&path, b"access_key_id = a\nsecret_access_key = b\n").unwrap();
    let options = StoreOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        credentials_file: Some(path),
        request_timeout: Duration::from_millis(500),
        retry_deadline: Duration::from_secs(2),
        retries_max: 4,
        ..Default::default()
    };
    Store::open("s3://bucket/p", &options).unwrap()
}

/// The byte at this place of every object here.
pub fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

async fn serve(mut socket: TcpStream, answer: Answer) -> std::io::Result<()> {
    let head = request(&mut socket).await?;
    let object = |range: std::ops::Range<usize>| range.map(byte).collect::<Vec<u8>>();
    let ok = |bytes: usize| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\netag: \"tag\"\r\n\
             last-modified: Fri, 20 Nov 2026 01:58:12 GMT\r\nconnection: close\r\n\r\n"
        )
    };
    match answer {
        Answer::Hang => tokio::time::sleep(Duration::from_secs(600)).await,
        Answer::Status(status, body) => {
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            socket.write_all(text.as_bytes()).await?;
        }
        Answer::Cut { announced, sent } => {
            socket.write_all(ok(announced).as_bytes()).await?;
            socket.write_all(&object(0..sent)).await?;
        }
        Answer::Stall { announced, sent } => {
            socket.write_all(ok(announced).as_bytes()).await?;
            socket.write_all(&object(0..sent)).await?;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Answer::Object(bytes) => match range(&head) {
            None => {
                socket.write_all(ok(bytes).as_bytes()).await?;
                socket.write_all(&object(0..bytes)).await?;
            }
            Some((from, to)) => {
                let head = ok(to + 1 - from).replace("200 OK", "206 Partial Content");
                let head = head.replace("etag", &format!("content-range: bytes {from}-{to}/{bytes}\r\netag"));
                socket.write_all(head.as_bytes()).await?;
                socket.write_all(&object(from..to + 1)).await?;
            }
        },
    }
    socket.shutdown().await
}

async fn request(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next());
    let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
    socket.read_exact(&mut body).await?;
    Ok(head)
}

fn range(head: &str) -> Option<(usize, usize)> {
    let text = head.split("range: bytes=").nth(1)?.split("\r\n").next()?;
    let (from, to) = text.split_once('-')?;
    Some((from.parse().unwrap(), to.parse().unwrap()))
}

//! A small HTTP server for pages that machines read. Everything that a client can send or hold is bounded.
//!
//! It answers one request per connection. It reads a body only on the one path that takes some ([`Post`]),
//! and only of a client that has its token. A client can neither fill the agent's memory (connections are
//! few; a new one replaces the oldest) nor delay its end (it waits one second for answers that are being
//! written).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::shown::printable;
use crate::error::{Error, Kind, Result};

/// Connections open at a time.
const CONNECTIONS_MAX: usize = 64;
/// The bound of request line and headers together; hyper accepts no smaller one.
const HEADER_BYTES_MAX: usize = 8 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long the headers may take to arrive.
const HEADER_WAIT: Duration = Duration::from_secs(5);
/// How long a connection may last, including its answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// How long answers that are being written may take when the agent stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// The pause after a connection could not be accepted, for example without free file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Bytes of a body, and how long it may take to arrive.
const BODY_BYTES_MAX: usize = 64 << 10;
const BODY_WAIT: Duration = Duration::from_secs(2);

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whether what it reports is well: status 200, else 503.
    pub is_well: bool,
    /// Its content type.
    pub kind: &'static str,
    /// Its text.
    pub text: String,
}

/// Returns the page at a path, or `None` for an unknown path. Called on an async thread: it must not block.
pub type Pages = Arc<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// A path that takes a body. Called on an async thread: it must not block.
pub trait Post: Send + Sync {
    /// Its path.
    fn path(&self) -> &'static str;
    /// Whether a client with this header may send a body.
    fn allows(&self, authorization: Option<&str>) -> bool;
    /// Takes a body.
    fn take(&self, body: &[u8]) -> Taken;
}

/// What becomes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is worked on.
    Accepted,
    /// It is not what it should be, and why.
    Refused(String),
    /// Too many are worked on: try again later.
    Busy,
}

/// What is served.
#[derive(Clone)]
pub struct Served {
    /// The pages.
    pub pages: Pages,
    /// The path that takes bodies.
    pub post: Option<Arc<dyn Post>>,
}

/// Listens on the address: an IP address and a port, which may be 0 (the system then chooses one).
///
/// # Errors
/// `Config` whatever the system's reason: the port is in use, the address is not one of this machine, or
/// this user may not open the port (below 1024). A new try helps only in the first case.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::new(Kind::Config, format!("cannot listen on {address}"))
            .because(e)
            .next("set agent.listen to a free address, or to \"off\"")
    })
}

/// Answers until `cancel` is cancelled, and for at most one second more.
pub async fn serve(listener: TcpListener, served: Served, cancel: CancellationToken) {
    let mut conversations = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = conversations.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            clock::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        oldest_first.retain(|conversation| !conversation.is_finished());
        if oldest_first.len() >= CONNECTIONS_MAX
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        oldest_first.push_back(conversations.spawn(converse(socket, served.clone())));
    }
    drop(listener);
    let rest = async { while conversations.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_LIMIT, rest).await; // the rest is then cut off
    conversations.shutdown().await;
}

async fn converse(socket: TcpStream, served: Served) {
    let service = service_fn(move |request: Request<Incoming>| {
        let served = served.clone();
        async move {
            let post = served.post.filter(|post| request.uri().path() == post.path());
            Ok::<_, Infallible>(match post {
                Some(post) => posted(post.as_ref(), request).await,
                None => answer(&served.pages, request.method(), request.uri().path()),
            })
        }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // A client that breaks off, sends nonsense or is too slow gets no answer; other clients do not notice.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, conversation).await;
}

fn plain(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    response
}

async fn posted(post: &dyn Post, request: Request<Incoming>) -> Response<String> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !post.allows(given) {
        let mut response = plain(StatusCode::UNAUTHORIZED, "this path needs its token\n");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    if request.method() != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this path takes POST only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let Some(body) = tokio::time::timeout(BODY_WAIT, body(request.into_body())).await.ok().flatten() else {
        return plain(StatusCode::BAD_REQUEST, "the body is too long, too slow, or broke off\n");
    };
    match post.take(&body) {
        Taken::Accepted => plain(StatusCode::OK, "accepted\n"),
        Taken::Refused(why) => plain(StatusCode::BAD_REQUEST, &format!("{}\n", printable(&why))),
        Taken::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, "too many requests are worked on\n"),
    }
}

/// A whole body, within its bound.
async fn body(mut body: Incoming) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            if all.len() + data.len() > BODY_BYTES_MAX {
                return None;
            }
            all.extend_from_slice(&data);
        }
    }
    Some(all)
}

fn answer(pages: &Pages, method: &Method, path: &str) -> Response<String> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "these pages are read-only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(page) = pages(path) else {
        return plain(StatusCode::NOT_FOUND, "the pages are /metrics, /livez, /readyz and /healthz\n");
    };
    let status = if page.is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = plain(status, &page.text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.kind));
    response
}

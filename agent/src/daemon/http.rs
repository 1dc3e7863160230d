//! A small HTTP server for pages that machines read, with a bound on everything that a stranger can send or hold.
//!
//! One request a connection, no body is read, and nobody keeps the agent: neither its memory (connections are
//! few, and a new one takes the place of the oldest) nor its end (it waits a second for answers under way).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::error::{Error, Kind, Result};

/// Connections open at a time.
const CONNECTIONS_MAX: usize = 64;
/// What request line and headers may take together, the least that hyper takes as a bound.
const HEADER_BYTES_MAX: usize = 8 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long they may take to come.
const HEADER_WAIT: Duration = Duration::from_secs(5);
/// How long a connection may last in all, its answer written.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// What answers under way get when the agent stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// After a connection that could not be accepted, for want of file descriptors say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whether what it tells of is well: 200, else 503.
    pub is_well: bool,
    /// Its content type.
    pub kind: &'static str,
    /// Its text.
    pub text: String,
}

/// Gives the page at a path; `None` where there is none. Called on an async thread: it must not wait.
pub type Pages = Arc<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// Opens the address.
///
/// # Errors
/// Where it is taken, or is none of this machine's.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::new(Kind::Config, format!("cannot listen on {address}"))
            .because(e)
            .next("set agent.listen to a free address, or to \"off\"")
    })
}

/// Answers until `cancel` is, and a second longer at the most.
pub async fn serve(listener: TcpListener, pages: Pages, cancel: CancellationToken) {
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
        oldest_first.push_back(conversations.spawn(converse(socket, pages.clone())));
    }
    drop(listener);
    let rest = async { while conversations.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_LIMIT, rest).await; // what is left then is cut off
    conversations.shutdown().await;
}

async fn converse(socket: TcpStream, pages: Pages) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&pages, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // Whoever breaks off, sends nonsense or is too slow gets no answer, and nobody else is concerned.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, conversation).await;
}

fn answer(pages: &Pages, method: &Method, path: &str) -> Response<String> {
    let plain = |status, text: &str| {
        let mut response = Response::new(text.to_owned());
        *response.status_mut() = status;
        response
    };
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

//! One request and its whole answer.

use std::time::Duration;

use reqwest::redirect::Policy;

use super::address::OdooUrl;
use crate::error::{Error, Kind, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long one call may take: Odoo's own limit for a request is two minutes.
const CALL_LIMIT: Duration = Duration::from_secs(180);
/// The largest answer. Most have a few kilobytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What came back, whatever the status.
pub(super) struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

/// A client for this address.
pub(super) fn client(url: &OdooUrl) -> Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default(); // a second one is the same
    let mut builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .timeout(CALL_LIMIT);
    if !url.is_encrypted() {
        builder = builder.no_proxy(); // the password would pass through it readable
    }
    builder.build().map_err(|e| Error::new(Kind::Internal, "cannot set up a client").because(e))
}

pub(super) fn no_answer(url: &OdooUrl, what: &str) -> Error {
    Error::new(Kind::Unreachable, format!("{what} from {url}"))
}

/// Sends it, and reads the answer to its end.
pub(super) async fn whole(request: reqwest::RequestBuilder, url: &OdooUrl) -> Result<Reply> {
    let failed = |e: reqwest::Error| no_answer(url, "no answer").because(e.without_url());
    let mut answer = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(no_answer(url, &format!("more than {ANSWER_BYTES_MAX} bytes of answer")));
        }
    }
    Ok(Reply { status: answer.status().as_u16(), headers: answer.headers().clone(), body })
}

/// The same for a call: any status but success is an error.
pub(super) async fn whole_of_success(request: reqwest::RequestBuilder, url: &OdooUrl) -> Result<Vec<u8>> {
    let reply = whole(request, url).await?;
    match reply.status {
        200..=299 => Ok(reply.body),
        status => Err(no_answer(url, &format!("HTTP {status}"))),
    }
}

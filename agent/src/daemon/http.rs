//! `/metrics` and `/healthz`, on the loopback address that the configuration names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::clock;
use crate::error::{Error, Kind, Result};

/// A scheduler that has not looked at its jobs for so long is stuck. While a run goes on it does not
/// look, so the deadline of runs comes on top.
const QUIET_MAX: Duration = Duration::from_secs(120);

/// Opens the address; `None` serves nothing.
///
/// # Errors
/// Where the address is not on loopback, or taken.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::new(Kind::Config, format!("cannot listen on {address}"))
            .because(e)
            .next("set agent.listen to a free address, or to \"off\"")
    })
}

/// A part of the agent that is not well says why.
pub type Unwell = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Answers until `cancel` is.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    deadline: Duration,
    unwell: Unwell,
    cancel: CancellationToken,
) -> Result<()> {
    let app = Router::new()
        .route("/metrics", get(page))
        .route("/healthz", get(move |state| health(state, deadline, unwell)))
        .with_state(metrics);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { cancel.cancelled().await })
        .await
        .map_err(|e| Error::new(Kind::Io, "the page of metrics failed").because(e))
}

async fn page(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.page())
}

async fn health(
    State(metrics): State<Arc<Metrics>>,
    deadline: Duration,
    unwell: Unwell,
) -> (StatusCode, String) {
    let quiet = metrics.last_alive().map(|last| clock::now().duration_since(last));
    let most = SignedDuration::try_from(QUIET_MAX + deadline).unwrap_or(SignedDuration::MAX);
    let scheduler = match quiet {
        Some(quiet) if quiet <= most => None,
        Some(_) => Some("the scheduler is stuck".to_owned()),
        None => Some("the scheduler has not begun".to_owned()),
    };
    let problems: Vec<String> = scheduler.into_iter().chain(unwell()).collect();
    match problems.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n"),
    }
}

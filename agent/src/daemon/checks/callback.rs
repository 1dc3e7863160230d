//! Tells Azure DevOps a decision: the event TaskCompleted of its distributed tasks ("Post Event").

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::redirect::Policy;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::asked::Callback;
use crate::clock;
use crate::error::{Error, Kind, Result};

/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(20);
/// The first pause between two tries; each is twice the one before, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How many tries there are: some 45 minutes.
const TRIES_MAX: u32 = 50;

/// The way to Azure DevOps. It follows no redirect: the token goes to the host of the configuration only.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pause: Duration,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// `Internal` where TLS cannot be set up.
    pub fn new() -> Result<Client> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // a second one is the same
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(TRY_LIMIT)
            .build()
            .map_err(|e| Error::new(Kind::Internal, "cannot set up the client of checks").because(e))?;
        Ok(Client { http, pause: PAUSE })
    }

    /// One that does not wait long.
    #[cfg(test)]
    pub fn hasty() -> Client {
        Client { pause: Duration::from_millis(20), ..Client::new().unwrap() }
    }

    /// Tells the decision until it is accepted; the number of tries. Once `cancel` is cancelled, there is one
    /// try more.
    ///
    /// # Errors
    /// The last answer.
    pub async fn tell(
        &self,
        callback: &Callback,
        passed: bool,
        cancel: &CancellationToken,
    ) -> std::result::Result<u32, String> {
        let result = if passed { "succeeded" } else { "failed" };
        let event = json!({ "name": "TaskCompleted", "taskId": callback.task, "jobId": callback.job, "result": result });
        let (body, mut pause, mut tries) = (event.to_string(), self.pause, 0);
        loop {
            let last = cancel.is_cancelled() || tries + 1 >= TRIES_MAX;
            tries += 1;
            let request = self
                .http
                .post(callback.url.clone())
                .header(CONTENT_TYPE, "application/json")
                .header(AUTHORIZATION, &callback.authorization)
                .body(body.clone());
            let why = match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(tries),
                Ok(answer) => format!("HTTP {}", answer.status().as_u16()),
                Err(e) => Error::new(Kind::Unreachable, "no answer").because(e.without_url()).line(),
            };
            if last {
                return Err(format!("{why} ({tries} tries)"));
            }
            tracing::warn!(tries, "Azure DevOps did not take a decision yet: {why}");
            tokio::select! {
                () = clock::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                () = cancel.cancelled() => {}
            }
        }
    }
}

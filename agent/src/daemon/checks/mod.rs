//! The environment check of Azure DevOps (`POST /checks/azure`): before a stage begins, Azure asks whether
//! its release may go on, and we tell it the decision of `lifeboat checkpoint`.
//!
//! - The answer to the request comes at once, and is no decision: Azure wants it within 3 s. The decision is
//!   made by `lifeboat checkpoint` as a child process, and goes to Azure's call-back address (callback.rs).
//! - **Nothing passes because it could not be decided.** Only exit code 0 is "succeeded"; whatever else
//!   happens, a stop of the agent too, is "failed".
//! - **A request that comes again gets the same decision** (decision.rs).
//! - Who does not have the token learns nothing and starts nothing: its body is not even read. Who has it can
//!   make checkpoints, but override no gate, and send Azure's token to the hosts of the configuration only.

mod asked;
mod callback;
mod decision;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::http::{Post, Taken};
use crate::config::Config;
use crate::error::Result;
use asked::Asked;
use callback::Client;
use decision::{Decider, Decisions};
use token::Token;

/// The path of the check.
const PATH: &str = "/checks/azure";
/// Requests that wait, and those that are worked on, at a time.
const WAITING_MAX: usize = 32;
const AT_ONCE: usize = 8;
/// What a checkpoint may take beside its own limit: it starts, waits for another one, and stores evidence.
const BESIDE: Duration = Duration::from_secs(180);

/// The part that takes requests.
pub struct Checks {
    token: Token,
    hosts: Vec<String>,
    waiting: Sender<Asked>,
}

/// The part that works on them.
pub struct Work {
    waiting: Receiver<Asked>,
    decisions: Arc<Decisions>,
    client: Client,
}

/// Both parts, or `None` where no token is configured. `program` runs with `arguments` before its command.
///
/// # Errors
/// `Config` where the token's file cannot be used.
pub fn checks(
    config: &Config,
    program: PathBuf,
    arguments: Vec<String>,
) -> Result<Option<(Arc<dyn Post>, Work)>> {
    let Some(file) = &config.agent.checks_token_file else { return Ok(None) };
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    let checks =
        Checks { token: Token::read(file)?, hosts: config.agent.checks_hosts.clone(), waiting: sender };
    let limit = config.checkpoint.timeout + BESIDE;
    let decisions = Arc::new(Decisions::new(Decider { program, arguments, limit }));
    Ok(Some((Arc::new(checks), Work { waiting, decisions, client: Client::new()? })))
}

impl Post for Checks {
    fn path(&self) -> &'static str {
        PATH
    }

    fn allows(&self, authorization: Option<&str>) -> bool {
        authorization
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|given| self.token.is(given))
    }

    fn take(&self, body: &[u8]) -> Taken {
        let asked = match Asked::parse(body, &self.hosts) {
            Ok(asked) => asked,
            Err(why) => {
                tracing::warn!("a check was refused: {why}");
                return Taken::Refused(why);
            }
        };
        tracing::info!(release = asked.release(), "a check was taken");
        match self.waiting.try_send(asked) {
            Ok(()) => Taken::Accepted,
            Err(_) => Taken::Busy,
        }
    }
}

impl Work {
    /// Decides and calls back until `cancel` is cancelled; what is undecided then is told as failed, once.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut jobs = JoinSet::new();
        loop {
            let free = jobs.len() < AT_ONCE;
            let asked = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = jobs.join_next() => continue,
                Some(asked) = self.waiting.recv(), if free => asked,
            };
            let (decisions, client, cancel) = (self.decisions.clone(), self.client.clone(), cancel.clone());
            jobs.spawn(async move { one(&asked, &decisions, &client, &cancel).await });
        }
        self.waiting.close();
        while jobs.join_next().await.is_some() {}
    }
}

async fn one(asked: &Asked, decisions: &Decisions, client: &Client, cancel: &CancellationToken) {
    let release = asked.release();
    let decision = decisions.of(asked, cancel).await;
    match decision.passed {
        true => tracing::info!(release, "the check passed"),
        false => tracing::warn!(release, "the check failed: {}", decision.said),
    }
    match client.tell(&asked.callback, decision.passed, cancel).await {
        Ok(tries) => tracing::info!(release, tries, "Azure DevOps accepted the decision"),
        Err(why) => tracing::error!(
            release,
            "Azure DevOps did not accept the decision, and its stage waits for its time limit: {why}"
        ),
    }
}

#[cfg(test)]
mod tests;

//! Starts a restored instance on a private socket, without network, with our configuration, until recovery
//! has reached its target. Settings that are too low for replay are raised on the way, to the values in
//! the WAL. The server stays up, and its isolation is proved.

use std::path::PathBuf;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::Action;
use crate::names::Lsn;
use crate::postgres::collations;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server_command;
use crate::postgres::server_stop::stop_now;
use crate::postgres::session::Session;
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::instance::arrival::Goal;
use crate::recovery::instance::aside::{CONF_FILE, Note, head, is_ours};
use crate::recovery::instance::feed::Feed;
use crate::recovery::instance::plan::InstancePlan;
use crate::recovery::instance::proof::{Allowed, Proof, prove};
use crate::recovery::instance::run::{End, Server};
use crate::recovery::instance::settings::PORT;
use crate::recovery::instance::sorting::{Rebuild, rebuild};
use crate::recovery::instance::tree;

/// How many times settings are raised at most: nobody changes them more often between two base backups.
const RAISES_MAX: u32 = 100;
/// A server that has reached its target.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// The directory of its socket.
    pub socket_dir: PathBuf,
    /// The role that can connect: the configured one, or the usual superuser.
    #[serde(skip)]
    pub role: String,
    /// Its port.
    pub port: u16,
    /// Its log.
    pub log: PathBuf,
    /// The command that reaches it.
    pub reach: String,
    /// The command that ends it.
    pub end: String,
    /// Whether it accepts writes.
    pub writable: bool,
    /// Where replay ended.
    pub replayed_to: Lsn,
    /// The last replayed commit, by the clock of the server that wrote it; `None` if there was none after the
    /// backup began.
    pub last_commit: Option<Timestamp>,
    /// How long replay took.
    pub seconds: f64,
    /// Settings that were raised on the way, because production raised them according to the WAL.
    pub raised: Vec<String>,
    /// The proof of its isolation, from the server itself.
    pub proof: Proof,
    /// Databases whose indexes are sorted differently than the server sorts.
    pub rebuild: Vec<Rebuild>,
}

/// Finds the needed programs before anything is restored.
pub async fn tools(config: &Config, plan: &InstancePlan) -> Result<Tools> {
    let major = plan.source.server_version.chars().take_while(char::is_ascii_digit).collect::<String>();
    Tools::server(&PostgresOptions::from(&config.postgres), major.parse().unwrap_or(0)).await
}

/// Starts the server and waits for the target; `feed` fetches its WAL meanwhile, if we do that.
///
/// # Errors
/// `Postgres` with the end of the server's log if it stopped by itself or is not at the target; `Refused`
/// if it is not isolated; those of the store.
pub async fn start_and_wait(
    config: &Config,
    plan: &InstancePlan,
    tools: &Tools,
    (action, feed): (Action, Option<&Feed>),
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Started> {
    let mut server = Server {
        config,
        data_dir: &plan.data_dir,
        owner: plan.owner,
        tools,
        goal: Some(Goal::of(plan)),
        action,
        allowed: Allowed { archiving: plan.archives, preload: &plan.preload },
        scratch: plan.is_scratch,
        databases: &plan.databases,
        restore_command: None,
        progress,
        cancel,
    };
    let Some(feed) = feed else { return server.open().await };
    server.restore_command = Some(Feed::command(&plan.data_dir, feed.afterwards.as_deref())?);
    let spool = feed.spool(&plan.data_dir, plan.owner)?;
    let started = tokio::select! {
        started = server.open() => started,
        // It made a request, so it runs: its process can be found.
        e = feed.serve(&spool) => stop_now(&plan.data_dir).await.and(Err(e)),
    };
    spool.remove().and(started)
}

impl Server<'_> {
    /// Starts it, and again with the settings that it needs; proves its isolation.
    pub(super) async fn open(&self) -> Result<Started> {
        // The rule of this file: we never start a server with a configuration that is not ours.
        if !is_ours(&head(&tree::open(self.data_dir)?, CONF_FILE)?) {
            let what = format!("{CONF_FILE} in {} was not written by Lifeboat", self.data_dir.display());
            return Err(Error::new(Kind::Refused, what).effect("no server was started on it"));
        }
        let begun = clock::instant();
        let mut raised = Vec::new();
        for _ in 0..RAISES_MAX {
            match self.run().await? {
                End::Raised(more) => {
                    self.progress
                        .note(format!("production raised {}: recovery continues with that", more.join(", ")));
                    raised.extend(more);
                }
                End::There { socket_dir, role, seen } => {
                    let seconds = begun.elapsed().as_secs_f64();
                    let options = self.options(&socket_dir, &role);
                    let proof = prove(&options, self.data_dir, self.allowed, self.scratch).await;
                    let proof = match proof.and_then(|proof| self.keep_note(&proof).map(|()| proof)) {
                        Ok(proof) => proof,
                        Err(e) => {
                            stop_now(self.data_dir).await?;
                            return Err(e);
                        }
                    };
                    let rebuild = self.rebuild(&options).await.unwrap_or_else(|e| {
                        self.progress.note(format!("it is unknown which indexes must be rebuilt: {e}"));
                        Vec::new()
                    });
                    return Ok(Started {
                        socket_dir,
                        role,
                        port: PORT,
                        log: self.log(),
                        reach: server_command::psql(&options),
                        end: server_command::pg_ctl(Some(&self.tools.dir), self.data_dir, "stop"),
                        writable: !seen.recovering,
                        replayed_to: seen.place.replayed_to,
                        last_commit: seen.place.last_commit,
                        seconds,
                        raised,
                        proof,
                        rebuild,
                    });
                }
            }
        }
        Err(Error::new(
            Kind::Postgres,
            format!("recovery needs higher values too many times: {}", raised.join(", ")),
        ))
    }

    /// Checks that a temporary copy does not need.
    async fn rebuild(&self, options: &PostgresOptions) -> Result<Vec<Rebuild>> {
        if self.scratch {
            return Ok(Vec::new());
        }
        let mut session = Session::maintenance(options).await?;
        let sorting = collations::ask(&mut session).await?;
        session.close().await;
        Ok(rebuild(&sorting, self.databases))
    }

    /// Notes what was disabled, for a later `as-production`.
    fn keep_note(&self, proof: &Proof) -> Result<()> {
        if proof.disabled_subscriptions.is_empty() {
            return Ok(());
        }
        let dir = tree::open(self.data_dir)?;
        let mut note = Note::read(&dir)?.unwrap_or_default();
        note.disabled_subscriptions.extend(proof.disabled_subscriptions.iter().cloned());
        note.write(&dir, self.owner)
    }
}

//! Starts Odoo on the restored copy, and waits until it answers and lets the technical user in.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use lifeboat::child::{Asked, Supervised, status_text};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::odoo::rpc::{Failure, OdooApi, OdooLogin, OdooUrl, OdooWeb};
use lifeboat::{clock, disk};
use rustix::process::Signal;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::closed::{self, Network};
use super::log::Log;
use super::prepare::{self, Entrance};
use crate::place::{DATABASE, Room};
use crate::plan::odoo::OdooPlan;
use crate::report::traded::Traffic;

/// How long one question may take while Odoo starts.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(300);
/// Odoo slows down whoever fails to log in.
const BETWEEN_LOG_INS: Duration = Duration::from_secs(3);
/// How long it may answer with errors before that is its answer.
const ERRORS_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take to be gone after SIGKILL.
const GONE_LIMIT: Duration = Duration::from_secs(10);

/// An Odoo that answers. It is killed when this is dropped.
pub struct Running {
    child: Supervised,
    pid: u32,
    /// Its log.
    pub log: Log,
    /// The technical user's calls.
    pub api: OdooApi,
    /// The technical user's browser.
    pub web: OdooWeb,
    /// The user, and what is known of the tenant.
    pub entrance: Entrance,
}

/// What became of a start.
pub enum Booted {
    /// It answers.
    Up(Box<Running>),
    /// It does not, and why: the copy or the release is wrong.
    Down(String),
    /// It was not started: nothing would keep the copy's code from reaching others.
    NotIsolated(String),
}

/// Starts it.
///
/// # Errors
/// Where nothing can be said of the copy: a program is missing, the disk is full.
pub async fn boot(room: &Room, plan: &OdooPlan, cancel: &CancellationToken) -> Result<Booted> {
    let failed = |e: std::io::Error| Error::new(Kind::Io, "cannot listen on 127.0.0.1 for Odoo").because(e);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let url = OdooUrl::parse(&format!("http://127.0.0.1:{port}"), false)?;
    let files = prepare::files(room, plan, port).await?;
    let entrance = prepare::entrance(room).await?;
    let network = match Network::probe(room, &files.dir).await? {
        Ok(network) => network,
        Err(why) => return Ok(Booted::NotIsolated(why)),
    };

    let mut words = plan.command.clone();
    words.extend(["-c".to_owned(), files.conf.display().to_string()]);
    let mut command = network.command(room, &words, listener);
    command.current_dir(&files.dir).env("HOME", &files.dir).env("PYTHONDONTWRITEBYTECODE", "1");
    let log = disk::create_new(&files.log, 0o600)?;
    let log_too = log.try_clone().map_err(|e| Error::file("open", &files.log, e))?;
    command.stdout(Stdio::from(log)).stderr(Stdio::from(log_too));
    let child = Supervised::start(&mut command)
        .map_err(|e| Error::new(Kind::Io, format!("cannot start {}", plan.command[0])).because(e))?;
    drop(command); // and with it our listener: when Odoo has ended, nobody accepts

    let pid = child.id().unwrap_or_default();
    let web = OdooWeb::new(url.clone())?;
    let mut starting =
        Starting { child, log: Log::at(&files.log), url, web, entrance, begun: clock::instant() };
    match starting.until_up(plan.boot_timeout, cancel).await? {
        Ok(api) => {
            let Starting { child, log, web, entrance, .. } = starting;
            Ok(Booted::Up(Box::new(Running { child, pid, log, api, web, entrance })))
        }
        Err(why) => {
            let cause = starting.log.cause();
            let _ = starting.child.stop(Asked::Group(Signal::KILL), GONE_LIMIT).await; // killed at the latest
            Ok(Booted::Down(format!("{why}: {cause}")))
        }
    }
}

struct Starting {
    child: Supervised,
    log: Log,
    url: OdooUrl,
    web: OdooWeb,
    entrance: Entrance,
    begun: Instant,
}

impl Starting {
    /// The calls of the user who is let in, or why there is none.
    async fn until_up(
        &mut self,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<std::result::Result<OdooApi, String>> {
        let mut erring: Option<(Instant, String)> = None;
        loop {
            if let Ok(Some(status)) = self.child.ended() {
                if let Some(126 | 127) = status.code() {
                    let what = "odoo.command of the plan cannot be run";
                    return Err(Error::new(Kind::NotFound, what)
                        .because(self.log.cause())
                        .next("correct it in the plan"));
                }
                return Ok(Err(format!("Odoo ended with {}", status_text(status))));
            }
            let left = limit.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                let hint = match self.log.since(0).contains("HTTP service (werkzeug) running on") {
                    true => {
                        "; odoo.command of the plan must be Odoo itself, or a script that ends with exec: otherwise Odoo does not get the drill's socket"
                    }
                    false => "",
                };
                return Ok(Err(format!("Odoo did not answer within {}{hint}", clock::span_text(limit))));
            }
            let problem = match self.is_up(left).await {
                Some(Ok(())) => match timeout(left, self.log_in(cancel)).await {
                    Ok(Ok(api)) => return Ok(Ok(api)),
                    Ok(Err(Failure::Unknown(e))) if e.kind() == Kind::Interrupted => return Err(e),
                    Ok(Err(Failure::Unknown(e))) => {
                        Some(format!("Odoo does not let anybody in ({})", e.what()))
                    }
                    Ok(Err(Failure::Fault(fault))) => {
                        Some(format!("Odoo does not let anybody in ({})", fault.message))
                    }
                    Err(_) => None, // too late
                },
                Some(Err(problem)) => Some(problem),
                None => None,
            };
            match (problem, &erring) {
                (Some(problem), Some((since, _))) if since.elapsed() > ERRORS_LIMIT => {
                    return Ok(Err(problem));
                }
                (Some(problem), None) => erring = Some((clock::instant(), problem)),
                (Some(_), Some(_)) => {}
                (None, _) => erring = None,
            }
            clock::sleep(if erring.is_some() { BETWEEN_LOG_INS } else { BETWEEN_QUESTIONS }).await;
        }
    }

    /// `None`: it does not answer yet. An error page is a problem.
    async fn is_up(&self, left: Duration) -> Option<std::result::Result<(), String>> {
        // Before 17 there is no /web/health.
        for path in ["/web/health", "/web/login"] {
            let page = self.web.page(path, QUESTION_LIMIT.min(left)).await.ok()?;
            match page.status {
                404 => {}
                200..=399 => return Some(Ok(())),
                status => return Some(Err(format!("Odoo answers HTTP {status} to {path}"))),
            }
        }
        Some(Err("Odoo answers HTTP 404 to /web/login".to_owned()))
    }

    async fn log_in(&mut self, cancel: &CancellationToken) -> std::result::Result<OdooApi, Failure> {
        let Entrance { major, login, password, key, .. } = &self.entrance;
        let user =
            || OdooLogin { database: DATABASE.to_owned(), user: login.clone(), password: password.clone() };
        let api = OdooApi::log_in(*major, self.url.clone(), user(), key, cancel).await?;
        self.web.log_in(&user()).await?;
        Ok(api)
    }
}

impl Running {
    /// What it sent until now.
    ///
    /// # Errors
    /// If the kernel's counters cannot be read.
    pub fn traffic(&self) -> Result<Traffic> {
        closed::traffic(self.pid)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        self.child.ended().ok().flatten().map(status_text)
    }

    /// Kills it with its children, and waits until it is gone.
    pub async fn stop(mut self) {
        let _ = self.child.stop(Asked::Group(Signal::KILL), GONE_LIMIT).await; // killed: there is no more to do
    }
}

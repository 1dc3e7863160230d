//! Checks every few seconds what the agent needs: Odoo's data directory with each tenant's filestore, the
//! state directory, the repository. A volume that is not mounted looks like an empty directory. So a
//! filestore that existed once is remembered, and reported as missing until its database is gone too.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::catalog::{known, state::StateDir};
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Result};
use crate::names::{STAGING_SUFFIX, TenantName};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::database_exists;
use crate::postgres::session::Session;
use crate::repository::Repository;

/// Time between two checks of the directories, and how long a check may take before it is reported.
const DISK_EVERY: Duration = Duration::from_secs(5);
const DISK_WAIT: Duration = Duration::from_secs(30);
/// Time between two checks of the repository (after success, after failure), the time limit of one, and
/// how long all may fail before that is reported.
const REPOSITORY_EVERY: Duration = Duration::from_secs(60);
const REPOSITORY_AGAIN: Duration = Duration::from_secs(5);
const REPOSITORY_WAIT: Duration = Duration::from_secs(60);
const REPOSITORY_QUIET_MAX: Duration = Duration::from_secs(300);
/// How long PostgreSQL may take to say whether a database exists.
const SERVER_WAIT: Duration = Duration::from_secs(20);

/// The latest findings; cheap to clone.
#[derive(Clone)]
pub struct Needs(Arc<Mutex<Found>>);

struct Found {
    directories: Vec<String>,
    /// Whether the first check is still to come.
    not_looked: bool,
    reached: Option<Instant>,
    not_reached_because: Option<String>,
}

impl Default for Needs {
    fn default() -> Needs {
        let found =
            Found { directories: Vec::new(), not_looked: true, reached: None, not_reached_because: None };
        Needs(Arc::new(Mutex::new(found)))
    }
}

impl Needs {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is missing, one line each; empty if nothing is.
    pub fn missing(&self) -> Vec<String> {
        let found = self.found();
        let mut lines = found.directories.clone();
        if found.not_looked {
            lines.push("the data directory has not been checked yet".to_owned());
        }
        let why = found.not_reached_because.as_ref().map_or(String::new(), |why| format!(": {why}"));
        match found.reached.map(|at| clock::instant().saturating_duration_since(at)) {
            None => lines.push(format!("the repository has not been reached yet{why}")),
            Some(quiet) if quiet > REPOSITORY_QUIET_MAX => {
                lines.push(format!(
                    "the repository has not been reached for {}{why}",
                    clock::span_text(quiet)
                ));
            }
            Some(_) => {}
        }
        lines
    }

    fn looked(&self, problems: Vec<String>) {
        let mut found = self.found();
        for problem in &problems {
            if !found.directories.contains(problem) {
                tracing::error!("{problem}");
            }
        }
        if problems.is_empty() && !found.directories.is_empty() {
            tracing::info!("the data directory and the state directory are usable again");
        }
        (found.directories, found.not_looked) = (problems, false);
    }
}

/// Checks until `cancel` is cancelled.
pub async fn watch(config: &Config, state: &StateDir, needs: &Needs, cancel: &CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        ((), ()) = async { tokio::join!(directories(config, state, needs), repository(config, needs)) } => {}
    }
}

async fn directories(config: &Config, state: &StateDir, needs: &Needs) {
    let mut expected = with_a_known_filestore(state);
    loop {
        let paths = (config.odoo.data_dir.clone(), config.state_dir.join(config.instance.as_str()));
        let mut look = tokio::task::spawn_blocking(move || look(paths.0.as_deref(), &paths.1));
        let looked = match tokio::time::timeout(DISK_WAIT, &mut look).await {
            Ok(looked) => looked,
            Err(_) => {
                let dir = config.odoo.data_dir.as_deref().unwrap_or(&config.state_dir);
                needs.looked(vec![format!("{} does not answer: its file system hangs", dir.display())]);
                look.await
            }
        };
        let problems = match looked {
            Ok(Ok(there)) => {
                expected.extend(there.iter().cloned());
                let gone: Vec<String> = expected.difference(&there).cloned().collect();
                missed(config, &mut expected, gone).await
            }
            Ok(Err(problems)) => problems,
            Err(e) => vec![format!("cannot check the data directory: {e}")],
        };
        needs.looked(problems);
        clock::sleep(DISK_EVERY).await;
    }
}

/// The tenants whose filestore is not empty, or what is wrong with the directories.
fn look(data_dir: Option<&Path>, state_dir: &Path) -> Result<BTreeSet<String>, Vec<String>> {
    let mut problems = Vec::new();
    if !disk::is_dir(state_dir) {
        problems.push(format!("the state directory {} is missing", state_dir.display()));
    }
    let mut there = BTreeSet::new();
    if let Some(data_dir) = data_dir {
        let filestore = data_dir.join("filestore");
        match disk::read_dir(&filestore) {
            Ok(Some(entries)) => {
                let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
                // What a restore is filling is closed to everybody else until it is complete.
                let is_tenant =
                    |name: &String| name.parse::<TenantName>().is_ok() && !name.ends_with(STAGING_SUFFIX);
                for tenant in names.filter(is_tenant) {
                    match disk::read_dir(&filestore.join(&tenant)) {
                        Ok(Some(files)) if !files.is_empty() => drop(there.insert(tenant)),
                        Ok(_) => {}
                        Err(_) if !disk::is_dir(&filestore.join(&tenant)) => {}
                        Err(e) => problems.push(text(&e)),
                    }
                }
            }
            Ok(None) => problems.push(format!(
                "directory {} does not exist: is the volume of odoo.data_dir mounted?",
                filestore.display()
            )),
            Err(e) => problems.push(text(&e)),
        }
    }
    if problems.is_empty() { Ok(there) } else { Err(problems) }
}

/// The missing filestores whose databases still exist. A tenant whose database is gone too is forgotten.
async fn missed(config: &Config, expected: &mut BTreeSet<String>, gone: Vec<String>) -> Vec<String> {
    let asked = |name: &String| !config.odoo.exclude.iter().any(|excluded| excluded.as_str() == name);
    let gone: Vec<String> = gone.into_iter().filter(asked).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let dir = config.odoo.data_dir.as_deref().unwrap_or(Path::new("")).join("filestore");
    let existing = tokio::time::timeout(SERVER_WAIT, existing(config, &gone)).await;
    let unknown = match existing {
        Ok(Ok(existing)) => {
            expected.retain(|name| !gone.contains(name) || existing.contains(name));
            return existing
                .iter()
                .map(|name| {
                    let dir = dir.join(name);
                    format!(
                        "the filestore of {name} is missing, but its database exists: {} is missing or empty",
                        dir.display()
                    )
                })
                .collect();
        }
        Ok(Err(e)) => text(&e),
        Err(_) => "PostgreSQL does not answer".to_owned(),
    };
    let list = gone.join(", ");
    vec![format!("filestores are missing ({list}); whether their databases exist is unknown: {unknown}")]
}

async fn existing(config: &Config, names: &[String]) -> Result<Vec<String>> {
    let mut session = Session::maintenance(&PostgresOptions::from(&config.postgres)).await?;
    let mut existing = Vec::new();
    for name in names {
        if database_exists(&mut session, name).await? {
            existing.push(name.clone());
        }
    }
    session.close().await;
    Ok(existing)
}

/// The tenants whose filestore was not empty in an earlier backup of this host.
fn with_a_known_filestore(state: &StateDir) -> BTreeSet<String> {
    let with_files = |tenant: &TenantName| {
        let known = known::open(&state.known_file(tenant)).ok().flatten();
        known.is_some_and(|mut known| matches!(known.index.next(), Some(Ok(_))))
    };
    let tenants = state.tenants_with_known_filestore().unwrap_or_default();
    tenants.iter().filter(|tenant| with_files(tenant)).map(ToString::to_string).collect()
}

async fn repository(config: &Config, needs: &Needs) {
    loop {
        let looked = tokio::time::timeout(REPOSITORY_WAIT, Repository::configured(config)).await;
        let wait = match looked {
            Ok(Ok(_)) => {
                let mut found = needs.found();
                (found.reached, found.not_reached_because) = (Some(clock::instant()), None);
                REPOSITORY_EVERY
            }
            failed => {
                let why = match failed {
                    Ok(Err(e)) => text(&e),
                    _ => "it does not answer".to_owned(),
                };
                needs.found().not_reached_because = Some(why);
                REPOSITORY_AGAIN
            }
        };
        clock::sleep(wait).await;
    }
}

/// The error and why, on one line.
fn text(error: &Error) -> String {
    let causes = error.causes().into_iter().map(|cause| format!(": {cause}"));
    error.to_string() + &causes.collect::<String>()
}

//! What the agent needs around it, looked at every few seconds: Odoo's data directory with the filestore of each
//! tenant, the state directory, the repository. A volume that is not mounted looks like an empty directory, so
//! what was there once is remembered, and missed until its database is gone, too.

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
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::database_exists;
use crate::postgres::session::Session;
use crate::repository::Repository;

/// Between two looks at directories, and after how long one that does not end is told.
const DISK_EVERY: Duration = Duration::from_secs(5);
const DISK_WAIT: Duration = Duration::from_secs(30);
/// Between two looks at the repository; what one may take; how long none may succeed.
const REPOSITORY_EVERY: Duration = Duration::from_secs(60);
const REPOSITORY_AGAIN: Duration = Duration::from_secs(5);
const REPOSITORY_WAIT: Duration = Duration::from_secs(60);
const REPOSITORY_QUIET_MAX: Duration = Duration::from_secs(300);
/// What PostgreSQL gets to say whether a database exists.
const SERVER_WAIT: Duration = Duration::from_secs(20);

/// What was found last; cheap to clone.
#[derive(Clone)]
pub struct Needs(Arc<Mutex<Found>>);

struct Found {
    directories: Vec<String>,
    /// Before the first look.
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

    /// What is missing, a line each; empty while all is there.
    pub fn missing(&self) -> Vec<String> {
        let found = self.found();
        let mut lines = found.directories.clone();
        if found.not_looked {
            lines.push("the data directory was not checked yet".to_owned());
        }
        let why = found.not_reached_because.as_ref().map_or(String::new(), |why| format!(": {why}"));
        match found.reached.map(|at| clock::instant().saturating_duration_since(at)) {
            None => lines.push(format!("the repository was not reached yet{why}")),
            Some(quiet) if quiet > REPOSITORY_QUIET_MAX => {
                lines.push(format!("the repository was not reached for {}{why}", clock::span_text(quiet)));
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
            tracing::info!("data and state directories can be used again");
        }
        (found.directories, found.not_looked) = (problems, false);
    }
}

/// Looks until `cancel` is.
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
                needs.looked(vec![format!("{} does not answer: a file system hangs", dir.display())]);
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

/// The tenants whose filestore holds anything, or what is wrong with the directories.
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
                for tenant in names.filter(|name| name.parse::<TenantName>().is_ok()) {
                    match disk::read_dir(&filestore.join(&tenant)) {
                        Ok(Some(files)) if !files.is_empty() => drop(there.insert(tenant)),
                        Ok(_) => {}
                        Err(_) if !disk::is_dir(&filestore.join(&tenant)) => {}
                        Err(e) => problems.push(text(&e)),
                    }
                }
            }
            Ok(None) => problems.push(format!(
                "there is no directory {}: is the volume of odoo.data_dir mounted?",
                filestore.display()
            )),
            Err(e) => problems.push(text(&e)),
        }
    }
    if problems.is_empty() { Ok(there) } else { Err(problems) }
}

/// The filestores that are gone and whose databases are not. A tenant that is gone as a whole is forgotten.
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
                        "the filestore of {name} is gone, but its database exists: {} is missing or empty",
                        dir.display()
                    )
                })
                .collect();
        }
        Ok(Err(e)) => text(&e),
        Err(_) => "PostgreSQL does not answer".to_owned(),
    };
    let list = gone.join(", ");
    vec![format!("filestores are gone ({list}); it is not known whether their databases exist: {unknown}")]
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

/// Those that a backup on this host found with files, before this agent began.
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

//! Applies the plan of a promotion in the order that [`super`] describes; undoes it if it fails.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::catalog::copies::{Copies, CopyKind, CopyRecord, is_mark};
use crate::catalog::state::StateDir;
use crate::clock;
use crate::disk;
use crate::disk::dir_id::DirId;
use crate::disk::neighbours::Neighbours;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::postgres::rename::{
    Connected, Renaming, allow_connections, connected, disconnect, name_of, rename,
};
use crate::postgres::session::Session;
use crate::recovery::promote::plan::{Prepared, PromotePlan};

/// How long sessions may take to end after they were told to.
const DISCONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long a session that is ending anyway (such as ours) may take, if no session is told to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Debug, Serialize)]
pub struct Promoted {
    /// The plan that was applied.
    pub plan: PromotePlan,
    /// The sessions that were ended.
    pub disconnected: Vec<Connected>,
    /// How long both databases were closed.
    pub closed_seconds: f64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Does what was planned.
///
/// # Errors
/// Whatever failed. Then everything is as before; or the error says that it is not, and the same command
/// continues.
pub async fn apply(prepared: Prepared, cancel: &CancellationToken) -> Result<Promoted> {
    // The lock also prevents a backup from walking a filestore while it is renamed.
    let _state = StateDir::open(&prepared.state_dir, &prepared.instance)
        .map_err(|e| e.effect("nothing was changed"))?;
    let mut session = Session::maintenance(&prepared.postgres).await?;
    prepared.journal.write(&prepared.journal_file).map_err(|e| e.effect("nothing was changed"))?;
    let begun = clock::instant();
    let disconnected = match prepared.forward(&mut session, cancel).await {
        Ok(disconnected) => disconnected,
        Err(e) => return Err(prepared.put_back(&mut session, e).await),
    };
    let closed_seconds = begun.elapsed().as_secs_f64();
    session.close().await;
    let mut warnings = prepared.plan.warnings.clone();
    for record in prepared.record().into_iter().chain(prepared.promoted()) {
        if let Err(e) = Copies::note(&prepared.state_dir, &prepared.instance, &record) {
            warnings.push(format!("cannot record what {} is now: {e:?}", record.database));
        }
    }
    disk::remove_file(&prepared.journal_file)?;
    Ok(Promoted { plan: prepared.plan, disconnected, closed_seconds, warnings })
}

/// A directory to rename.
struct Move<'a> {
    id: Option<DirId>,
    from: &'a TenantName,
    to: &'a TenantName,
}

impl Prepared {
    fn moves(&self) -> [Move<'_>; 2] {
        let journal = &self.journal;
        [
            Move { id: journal.old.filestore, from: &journal.tenant, to: &journal.replaced },
            Move { id: journal.new.filestore, from: &journal.copy, to: &journal.tenant },
        ]
    }

    /// The current names of both databases: the copy, and the one that it replaces, if there is one.
    async fn names(&self, session: &mut Session) -> Result<(String, Option<String>)> {
        let gone = |name: &TenantName| {
            Error::new(Kind::NotFound, format!("the database that had the name {name} is gone"))
                .because(format!("its promotion had begun, according to {}", self.journal_file.display()))
        };
        let mut found = Vec::new();
        let sides = [(&self.journal.copy, &self.journal.new), (&self.journal.tenant, &self.journal.old)];
        for (name, side) in sides {
            found.push(match &side.database {
                None => None,
                Some(facts) => Some(name_of(session, facts.oid).await?.ok_or_else(|| gone(name))?),
            });
        }
        let old = found.pop().flatten();
        let new = found.pop().flatten().ok_or_else(|| gone(&self.journal.copy))?;
        Ok((new, old))
    }

    async fn forward(&self, session: &mut Session, cancel: &CancellationToken) -> Result<Vec<Connected>> {
        let (new, old) = self.names(session).await?;
        if new == self.journal.tenant.as_str() {
            return Ok(Vec::new()); // killed after the last step
        }
        let names: Vec<&str> = [Some(new.as_str()), old.as_deref()].into_iter().flatten().collect();
        allow_connections(session, &names, false).await?;
        let disconnected = self.empty(session, &names, cancel).await?;
        self.move_files()?;
        let record = self.record();
        let mark = record.as_ref().map(CopyRecord::mark).unwrap_or_default();
        let renaming = Renaming {
            copy: &new,
            tenant: self.journal.tenant.as_str(),
            replaced: old.as_ref().map(|_| self.journal.replaced.as_str()),
            mark: &mark,
            is_ours: is_mark,
        };
        rename(session, &renaming).await?;
        Ok(disconnected)
    }

    /// Waits until no session is left; returns the sessions that were told to end.
    async fn empty(
        &self,
        session: &mut Session,
        names: &[&str],
        cancel: &CancellationToken,
    ) -> Result<Vec<Connected>> {
        let ended = connected(session, names).await?;
        let limit = match self.plan.disconnect {
            true => DISCONNECT_LIMIT,
            false => LEAVE_LIMIT,
        };
        let begun = clock::instant();
        loop {
            if self.plan.disconnect {
                disconnect(session, names).await?;
            }
            let still = connected(session, names).await?;
            if still.is_empty() {
                return Ok(if self.plan.disconnect { ended } else { Vec::new() });
            }
            if cancel.is_cancelled() {
                return Err(Error::new(
                    Kind::Interrupted,
                    "the promotion was stopped while sessions were ending",
                ));
            }
            if begun.elapsed() >= limit {
                let told: Vec<String> = still.iter().map(ToString::to_string).collect();
                let error = Error::new(Kind::Refused, "the databases are in use").because(told.join("; "));
                return Err(match self.plan.disconnect {
                    true => {
                        error.next("end the remaining sessions: see pg_stat_activity, pg_replication_slots")
                    }
                    false => error.next("stop Odoo for this tenant, or pass --disconnect"),
                });
            }
            clock::sleep(LOOK_EVERY).await;
        }
    }

    fn move_files(&self) -> Result<()> {
        let Some(dir) = &self.journal.filestores else { return Ok(()) };
        let gone = || Error::new(Kind::Filestore, format!("{} no longer exists", dir.display()));
        let beside = Neighbours::open(dir)?.ok_or_else(gone)?;
        for Move { id, from, to } in self.moves() {
            let Some(id) = id else { continue };
            if beside.id(to.as_str())? == Some(id) {
                continue; // a killed run did it
            }
            if beside.id(from.as_str())? != Some(id) {
                let what = format!("{} is now another filestore", dir.join(from.as_str()).display());
                return Err(Error::new(Kind::Filestore, what).because("somebody moved it meanwhile"));
            }
            beside.rename_new(from.as_str(), to.as_str())?;
        }
        Ok(())
    }

    fn move_files_back(&self) -> Result<()> {
        let Some(dir) = &self.journal.filestores else { return Ok(()) };
        let Some(beside) = Neighbours::open(dir)? else { return Ok(()) };
        for Move { id, from, to } in self.moves().into_iter().rev() {
            if id.is_some() && beside.id(to.as_str())? == id {
                beside.rename_new(to.as_str(), from.as_str())?;
            }
        }
        Ok(())
    }

    /// Undoes everything after an error; returns the error with the outcome.
    async fn put_back(&self, session: &mut Session, error: Error) -> Error {
        let (copy, tenant) = (&self.journal.copy, &self.journal.tenant);
        let mut told = Error::new(error.kind(), format!("{copy} could not be promoted to {tenant}"));
        if let Some(next) = error.next_text() {
            told = told.next(next);
        }
        let told = told.because(error);
        match self.back(session).await {
            Ok(()) => told.effect("everything is as it was before"),
            Err(e) => {
                tracing::warn!("the promotion could not be undone: {e:?}");
                told.effect("both databases may still be closed, and a filestore may have its new name")
                    .safe("run the same command again: it continues")
            }
        }
    }

    async fn back(&self, session: &mut Session) -> Result<()> {
        let (new, old) = self.names(session).await?;
        if new != self.journal.copy.as_str() {
            return Err(Error::new(Kind::Refused, "the databases already have their new names"));
        }
        self.move_files_back()?;
        let was_open =
            |side: &super::journal::Side| side.database.as_ref().is_some_and(|facts| facts.is_open);
        let new = was_open(&self.journal.new).then_some(new.as_str());
        let old = old.as_deref().filter(|_| was_open(&self.journal.old));
        let names: Vec<&str> = [new, old].into_iter().flatten().collect();
        allow_connections(session, &names, true).await?;
        disk::remove_file(&self.journal_file)
    }

    /// What the copy's old name now stands for.
    fn promoted(&self) -> Option<CopyRecord> {
        Some(CopyRecord {
            database: self.journal.copy.clone(),
            oid: self.journal.new.database.as_ref()?.oid,
            kind: CopyKind::Promoted,
            of: self.journal.tenant.clone(),
            at: clock::now(),
            filestore: self.journal.new.filestore,
            neutralized: false,
        })
    }

    /// What the replaced database is now.
    fn record(&self) -> Option<CopyRecord> {
        let facts = self.journal.old.database.as_ref()?;
        Some(CopyRecord {
            database: self.journal.replaced.clone(),
            oid: facts.oid,
            kind: CopyKind::Replaced,
            of: self.journal.tenant.clone(),
            at: clock::now(),
            filestore: self.journal.old.filestore,
            neutralized: self.journal.old.neutralized.unwrap_or(true),
        })
    }
}

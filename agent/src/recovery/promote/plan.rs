//! The plan of a promotion: what exists, who is connected, and the new names. It changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::archive::digest::Sha256;
use crate::catalog::copies::Copies;
use crate::clock;
use crate::config::Config;
use crate::disk::neighbours::Neighbours;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName, shell_word};
use crate::odoo::neutralized::is_neutralized;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::ident;
use crate::postgres::rename::{Connected, Facts, connected, facts};
use crate::postgres::server_command;
use crate::postgres::session::Session;
use crate::recovery::promote::PromoteRequest;
use crate::recovery::promote::journal::{self, Journal, Side};

/// The `application_name` of our own sessions.
const APPLICATION: &str = "lifeboat";
/// How long one of them may take to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How long to wait for a second whose name is free.
const NAME_WAIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What will be done; `Display` gives the text that a person confirms.
#[derive(Clone, Debug, Serialize)]
pub struct PromotePlan {
    /// The copy that is promoted.
    pub copy: TenantName,
    /// The tenant that it becomes.
    pub tenant: TenantName,
    /// The name under which the old state is kept; `None` if there is no old state.
    pub replaced: Option<TenantName>,
    /// The server.
    pub server: String,
    /// Whether a database with the tenant's name exists.
    pub database_is_replaced: bool,
    /// The directory of both filestores.
    pub filestores: Option<PathBuf>,
    /// Whether the copy has a filestore.
    pub filestore_is_promoted: bool,
    /// Whether a filestore with the tenant's name exists.
    pub filestore_is_replaced: bool,
    /// The sessions that are connected to either database now.
    pub connected: Vec<Connected>,
    /// Whether these will be ended.
    pub disconnect: bool,
    /// Whether the copy was neutralized; `None` if that could not be found out.
    pub neutralized: Option<bool>,
    /// Whether this continues an earlier, interrupted run.
    pub goes_on: bool,
    /// Why it is refused; empty if it is not.
    pub refused: Vec<Refusal>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// The arguments of the `lifeboat` command that undoes it, one word each.
    pub undo: Vec<String>,
    /// The shell command that must follow the undo, if any.
    pub undo_more: Option<String>,
}

/// A reason to refuse it.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// The reason.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// A plan, and what it was made from.
pub struct Prepared {
    /// The plan.
    pub plan: PromotePlan,
    pub(super) journal: Journal,
    pub(super) journal_file: PathBuf,
    pub(super) postgres: PostgresOptions,
    pub(super) state_dir: PathBuf,
    pub(super) instance: InstanceName,
}

/// Checks both databases.
///
/// # Errors
/// If there is nothing to promote, or an earlier promotion of another copy is unfinished. What a flag can
/// allow is not an error: it is in the plan.
pub async fn prepare(config: &Config, request: PromoteRequest) -> Result<Prepared> {
    let (copy, tenant) = (&request.copy, &request.tenant);
    if copy == tenant {
        return Err(refused(format!("the copy {copy} is already called {tenant}"))
            .next("pass the copy first, then --as with the tenant"));
    }
    let postgres = PostgresOptions::from(&config.postgres);
    let journal_file = journal::file(&config.state_dir, &config.instance, tenant);
    let begun = Journal::read(&journal_file)?;
    let goes_on = begun.is_some();
    let mut session = Session::maintenance(&postgres).await?;
    for name in [copy, tenant] {
        if session.database() == name.as_str() {
            let what = format!("database {name} is the one that Lifeboat itself connects to");
            return Err(refused(what).next("set postgres.maintenance_database to another database"));
        }
    }
    let journal = match begun {
        Some(journal) if journal.copy == *copy => journal,
        Some(journal) => {
            let what = format!("a promotion of {} as {tenant} was interrupted", journal.copy);
            let finish = format!(
                "lifeboat promote {} --as {}",
                shell_word(journal.copy.as_str()),
                shell_word(tenant.as_str())
            );
            return Err(refused(what).next(format!("finish it first: {finish}")));
        }
        None => look(config, &request, &mut session, &postgres).await?,
    };
    let names = [copy.as_str(), tenant.as_str(), journal.replaced.as_str()];
    let connected = settled(&mut session, &names).await?;
    let server = format!("{}:{}", postgres.host_text(), postgres.port);
    session.close().await;
    let plan = plan(&request, &journal, connected, server, goes_on);
    let (state_dir, instance) = (config.state_dir.clone(), config.instance.clone());
    Ok(Prepared { plan, journal, journal_file, postgres, state_dir, instance })
}

/// The connected sessions, after our own session that read them has ended.
async fn settled(session: &mut Session, names: &[&str]) -> Result<Vec<Connected>> {
    let begun = clock::instant();
    loop {
        let all = connected(session, names).await?;
        let ours = all.iter().any(|sort| sort.application == APPLICATION);
        if !ours || begun.elapsed() >= LEAVE_LIMIT {
            return Ok(all);
        }
        clock::sleep(LOOK_EVERY).await;
    }
}

fn refused(what: String) -> Error {
    Error::new(Kind::Refused, what).effect("nothing was changed")
}

async fn look(
    config: &Config,
    request: &PromoteRequest,
    session: &mut Session,
    postgres: &PostgresOptions,
) -> Result<Journal> {
    let (copy, tenant) = (&request.copy, &request.tenant);
    let Some(new) = facts(session, copy.as_str()).await? else {
        return Err(Error::new(Kind::NotFound, format!("database {copy} does not exist"))
            .effect("nothing was changed")
            .next(format!(
                "list the databases: {} --list; or make a copy: lifeboat restore --tenant NAME",
                server_command::psql(postgres)
            )));
    };
    let old = facts(session, tenant.as_str()).await?;
    for (name, facts) in [(copy, Some(&new)), (tenant, old.as_ref())] {
        check(name, facts)?;
    }
    let copies = Copies::read(&config.state_dir, &config.instance)?;
    let data_dir = request.data_dir.as_deref().or(config.odoo.data_dir.as_deref());
    let filestores = data_dir.map(|dir| dir.join("filestore"));
    let beside = match &filestores {
        Some(dir) => Neighbours::open(dir)?,
        None => None,
    };
    let id = |name: &TenantName| match &beside {
        Some(beside) => beside.id(name.as_str()),
        None => Ok(None),
    };
    let mut replaced = replaced_name(tenant)?;
    let begun = clock::instant();
    // The undo may follow in the same second.
    while facts(session, replaced.as_str()).await?.is_some() || id(&replaced)?.is_some() {
        if begun.elapsed() > NAME_WAIT {
            return Err(refused(format!("{replaced} already exists"))
                .next("find out what creates such names, then run this again"));
        }
        clock::sleep(LOOK_EVERY).await;
        replaced = replaced_name(tenant)?;
    }
    let neutralized = silent(&copies, postgres, copy, &new).await?;
    if neutralized.is_none() && !request.although_neutralized {
        let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", ident(copy.as_str()));
        return Err(refused(format!(
            "database {copy} is closed, so Lifeboat cannot find out whether it is neutralized"
        ))
        .next(format!(
            "open it, then run this again: {} -c {}",
            server_command::psql(postgres),
            shell_word(&open)
        )));
    }
    let old_neutralized = match &old {
        // This is only for the undo: if it cannot be read, the promotion continues.
        Some(facts) => silent(&copies, postgres, tenant, facts).await.unwrap_or(None),
        None => None,
    };
    Ok(Journal {
        new: Side { database: Some(new), filestore: id(copy)?, neutralized },
        old: Side { database: old, filestore: id(tenant)?, neutralized: old_neutralized },
        copy: copy.clone(),
        tenant: tenant.clone(),
        replaced,
        filestores: filestores.filter(|_| beside.is_some()),
    })
}

/// Whether it was neutralized: from the database, or from the record if nobody can connect.
async fn silent(
    copies: &Copies,
    postgres: &PostgresOptions,
    name: &TenantName,
    facts: &Facts,
) -> Result<Option<bool>> {
    match facts.is_open {
        true => is_neutralized(postgres, name.as_str()).await.map(Some),
        false => Ok(copies.of_database(name.as_str(), facts.oid).map(|record| record.neutralized)),
    }
}

fn check(name: &TenantName, facts: Option<&Facts>) -> Result<()> {
    let Some(facts) = facts else { return Ok(()) };
    if facts.is_template {
        let comment = facts.comment.as_deref().unwrap_or("it is a template");
        return Err(refused(format!("database {name} is not a tenant: {comment}"))
            .next("run the restore that creates it again, so that it is completed"));
    }
    if facts.prepared > 0 {
        let what = format!("{} prepared transactions are open in database {name}", facts.prepared);
        return Err(
            refused(what).next("run COMMIT PREPARED or ROLLBACK PREPARED for each row of pg_prepared_xacts")
        );
    }
    Ok(())
}

/// `shop.replaced-20261128T021500Z`; also unique for a long name.
fn replaced_name(tenant: &TenantName) -> Result<TenantName> {
    let suffix = clock::now().strftime(".replaced-%Y%m%dT%H%M%SZ").to_string();
    let mut name = tenant.as_str().to_owned();
    if name.len() + suffix.len() > 63 {
        let digest = Sha256::of(name.as_bytes()).to_string();
        while name.len() + 9 + suffix.len() > 63 {
            name.pop();
        }
        name = format!("{name}_{}", &digest[..8]);
    }
    (name + &suffix).parse()
}

fn plan(
    request: &PromoteRequest,
    journal: &Journal,
    connected: Vec<Connected>,
    server: String,
    goes_on: bool,
) -> PromotePlan {
    let Journal { copy, tenant, replaced, filestores, new, old } = journal;
    let mut plan = PromotePlan {
        copy: copy.clone(),
        tenant: tenant.clone(),
        replaced: (old.database.is_some() || old.filestore.is_some()).then(|| replaced.clone()),
        server,
        database_is_replaced: old.database.is_some(),
        filestores: filestores.clone(),
        filestore_is_promoted: new.filestore.is_some(),
        filestore_is_replaced: old.filestore.is_some(),
        connected,
        disconnect: request.disconnect,
        neutralized: new.neutralized,
        goes_on,
        refused: Vec::new(),
        warnings: Vec::new(),
        undo: undo(request, journal),
        undo_more: undo_more(journal),
    };
    if goes_on {
        return plan; // it was allowed when it started
    }
    let mut refuse = |what: String, next: String| plan.refused.push(Refusal { what, next });
    if !plan.connected.is_empty() && !request.disconnect {
        let sessions: i64 = plan.connected.iter().map(|sort| sort.sessions).sum();
        refuse(
            match sessions {
                1 => format!("1 session is connected to {copy} or {tenant}"),
                _ => format!("{sessions} sessions are connected to {copy} or {tenant}"),
            },
            "stop Odoo for this tenant, or pass --disconnect: it closes both databases, then ends the sessions"
                .to_owned(),
        );
    }
    if new.neutralized == Some(true) && !request.although_neutralized {
        refuse(
            format!(
                "{copy} is neutralized: its mail servers, scheduled jobs, providers and credentials are permanently removed"
            ),
            format!(
                "restore a copy that is not neutralized, then promote that: lifeboat restore --tenant {} --as {} \
                 --no-neutralize --identity FILE; or pass --although-neutralized and set these up again",
                shell_word(tenant.as_str()),
                shell_word(&live_name(tenant))
            ),
        );
    }
    if new.filestore.is_none() && !request.without_filestore {
        let place = filestores.as_ref().map_or("odoo.data_dir is not set".to_owned(), |dir| {
            format!("{} does not exist", dir.join(copy.as_str()).display())
        });
        refuse(
            format!("{copy} has no filestore: {place}"),
            "pass --data-dir with the directory that has its filestore, or --without-filestore: \
            attachments on disk will be missing"
                .to_owned(),
        );
    }
    if let (Some(new), Some(old)) = (&new.database, &old.database)
        && new.owner != old.owner
    {
        plan.warnings.push(format!(
            "the copy is owned by {}, but the database that it replaces by {}: Odoo must connect as the owner",
            new.owner, old.owner
        ));
    }
    if new.neutralized == Some(true) {
        plan.warnings
            .push("NEUTRALIZED: no mail, no scheduled jobs, no providers until they are set up again".into());
    }
    if old.database.is_none() {
        plan.warnings.push(format!("database {tenant} does not exist: nothing is replaced"));
    }
    plan
}

/// A name for a copy that is not neutralized, for a printed command that can be run.
fn live_name(tenant: &TenantName) -> String {
    let mut name = tenant.as_str().to_owned();
    while name.len() + 5 > 63 {
        name.pop();
    }
    name + "_live"
}

/// The same command with exchanged names: the old state becomes the tenant again. If there was none, the
/// tenant becomes the copy again.
fn undo(request: &PromoteRequest, journal: &Journal) -> Vec<String> {
    let Journal { copy, tenant, replaced, new, old, .. } = journal;
    let (from, to, side) = match &old.database {
        Some(_) => (replaced, tenant, old),
        None => (tenant, copy, new),
    };
    let mut words = vec!["promote".to_owned(), from.to_string(), "--as".to_owned(), to.to_string()];
    let mut flag = |flag: &str, said: bool| words.extend(said.then(|| flag.to_owned()));
    flag("--disconnect", request.disconnect);
    flag("--without-filestore", side.filestore.is_none());
    flag("--although-neutralized", side.neutralized != Some(false));
    if let Some(dir) = &request.data_dir {
        words.extend(["--data-dir".to_owned(), dir.display().to_string()]);
    }
    words
}

/// A filestore without a database must be moved back by hand.
fn undo_more(journal: &Journal) -> Option<String> {
    let Journal { tenant, replaced, filestores: Some(dir), old, .. } = journal else { return None };
    let [from, to] =
        [replaced, tenant].map(|name| shell_word(&dir.join(name.as_str()).display().to_string()));
    (old.database.is_none() && old.filestore.is_some()).then(|| format!("mv -T {from} {to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_old_states_fit_and_stay_apart() {
        let long = |end: char| format!("{}{end}", "ä".repeat(31)).parse::<TenantName>().unwrap();
        let (a, b) = (replaced_name(&long('a')).unwrap(), replaced_name(&long('b')).unwrap());
        assert!(a.as_str().contains(".replaced-20") && a.as_str().len() <= 63);
        assert_ne!(a.as_str()[..30], b.as_str()[..30]);
        assert!(replaced_name(&"shop".parse().unwrap()).unwrap().as_str().starts_with("shop.replaced-20"));
    }
}

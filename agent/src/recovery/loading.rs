//! The stages of a load, the same for every role that loads: the server's part, the tenant's part, the
//! comparison, neutralizing, and last what may reach other systems.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::manifest::DUMP_PATH;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::counted;
use crate::odoo::baseline::Baseline;
use crate::odoo::compare::{Difference, compare, inputs_compared};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::load::divide::{Estate, Parties, divide};
use crate::postgres::load::ready::{Ready, ready};
use crate::postgres::load::rights::{Loads, far_reaching};
use crate::postgres::load::role::Loader;
use crate::postgres::load::sift::{Sieve, Sifted, not_made, sift, use_list};
use crate::postgres::load::toc::Entry;
use crate::postgres::load::{Choices, NotMade, PARTIAL};
use crate::postgres::restore::{Only, Ran, Restore, RestoreProgress};
use crate::postgres::restore_failures::Failure;
use crate::postgres::session::Session;
use crate::recovery::fill::{Fill, Watched, told};
use crate::recovery::loaded::{Compared, Loaded};
use crate::recovery::server::Seen;

/// How many differences an error names.
const DIFFERENCES_TOLD_MAX: usize = 5;
/// How many things that nobody could judge are shown as text; the result has more.
const UNKNOWN_SHOWN_MAX: usize = 20;

/// The role that loads.
pub(super) struct Who<'a> {
    /// How it connects.
    pub(super) options: &'a PostgresOptions,
    /// The role that was created for the load.
    pub(super) loader: Option<&'a Loader>,
    /// Connections of pg_restore.
    pub(super) jobs: u32,
}

impl Fill<'_> {
    /// Everything up to the last time that the tenant's code runs; `None` if pg_restore did not say
    /// clearly what failed. `estate` is what must then be given to its owners, also after an error.
    pub(super) async fn run_as(
        &self,
        who: &Who<'_>,
        seen: &Seen,
        estate: &mut Option<Estate>,
        watched: Watched<'_>,
    ) -> Result<Option<Loaded>> {
        let entries = &seen.entries;
        let trusted = self.loads == Loads::ConfiguredRoleTrusted;
        let choices = Choices { keep_owners: self.choices.keep_owners || trusted, ..self.choices.clone() };
        let mut there = Session::connect(self.postgres, self.incomplete).await?;
        let owners = entries.iter().map(|entry| entry.owner.as_str()).filter(|owner| !owner.is_empty());
        let far = match trusted {
            true => BTreeSet::new(),
            false => far_reaching(&mut there, owners.chain([self.owner])).await?,
        };
        let parties = Parties {
            database_owner: self.owner,
            by_owner: self.by_owner,
            far_reaching: &far,
            target: &seen.target,
            choices: &choices,
            own_tablespace: choices.own_tablespace(&self.baseline.properties),
        };
        let heir = divide(&entries.iter().collect::<Vec<_>>(), parties)?.heir;
        let other =
            |role: &str| Some(role.to_owned()).filter(|_| who.loader.is_none() && role != self.postgres.user);
        let role = match self.loads {
            Loads::OwnRole => None,
            Loads::ConfiguredRole => other(&heir),
            Loads::ConfiguredRoleTrusted => self.by_owner.and_then(other),
        };
        let asked = Ready {
            role: who.loader.map_or(&heir, |loader| &loader.name),
            own: who.loader.is_some(),
            becomes: role.is_some() && !trusted,
            choices: &choices,
        };
        let mut made = ready(&mut there, asked, entries).await?;
        made.roles = seen.roles_to_skip(self.by_owner, &choices);
        let Sifted { load, last, mut gone, mut left_out } =
            sift(entries, &made, Sieve { trusted, partial: choices.partial })?;
        if let Some(loader) = who.loader {
            loader.note_heir(&mut there, &heir).await?;
        }
        there.close().await;
        *estate = Some(divide(&without(entries, &gone), parties)?);
        let restore = Restore {
            dump: self.work.dir.join(DUMP_PATH),
            database: self.incomplete.to_owned(),
            jobs: who.jobs,
            no_owner: !trusted || self.by_owner.is_some(),
            no_tablespaces: !choices.maps_nothing(),
            goes_on: choices.partial,
            role,
            only: None,
        };
        let ran = watched.watch.time("pg_restore", self.pg_restore(&restore, &load, who, watched)).await;
        let ran = ran.map_err(|e| if e.kind() == Kind::Postgres { e.next(PARTIAL) } else { e })?;
        let Ran::Done(mut warnings, failed) = ran else { return Ok(None) };
        gone.extend(failed.iter().map(|failure| failure.entry));
        left_out.extend(named(entries, failed));
        *estate = Some(divide(&without(entries, &gone), parties)?);

        watched.progress.stage(format!("{}: comparing with the baseline", self.database));
        let mut session = Session::connect(who.options, self.incomplete).await?;
        let found = watched.watch.time("compare", Baseline::take_as_owner(&mut session)).await?;
        let compared = self.compared(&found, entries, &gone)?;
        let silenced = match self.neutralize {
            true => Some(watched.watch.time("neutralize", self.silence(&mut session)).await?),
            false => None,
        };
        session.close().await;
        if !last.is_empty() {
            watched.progress.stage(format!("{}: filling materialized views", self.database));
            let filled = self.fill_views(Restore { jobs: 1, goes_on: true, ..restore }, &last, who, watched);
            left_out.extend(named(entries, watched.watch.time("fill views", filled).await?));
        }
        warnings.extend(left_out.iter().filter(|left| !left.failed).map(ToString::to_string));
        warnings.extend(silenced.iter().flat_map(|s| s.unknown.sentences(UNKNOWN_SHOWN_MAX)));
        warnings.extend(silenced.iter().flat_map(|s| s.reaches.clone()));
        Ok(Some(Loaded { compared, silenced, warnings, not_made: left_out }))
    }

    async fn pg_restore(
        &self,
        restore: &Restore,
        load: &[i64],
        who: &Who<'_>,
        Watched { progress, cancel, .. }: Watched<'_>,
    ) -> Result<Ran> {
        let list = self.work.list();
        disk::replace_durable(&list, use_list(load).as_bytes())?;
        let only = Only { list: list.clone(), entries: load.len() as u64 };
        let restore = Restore { only: Some(only), ..restore.clone() };
        let entries = RestoreProgress::default();
        let run = restore.run(self.tools, who.options, entries.clone(), cancel);
        let ran = told(progress, self.database.as_str(), &entries, run).await;
        disk::remove_file(&list)?;
        ran
    }

    /// A neutralized copy is closed to other systems, so views over these cannot be filled. This is
    /// reported, and does not affect other views.
    async fn fill_views(
        &self,
        restore: Restore,
        views: &[i64],
        who: &Who<'_>,
        watched: Watched<'_>,
    ) -> Result<Vec<Failure>> {
        let Ran::Done(_, failed) = self.pg_restore(&restore, views, who, watched).await? else {
            return Err(Error::new(Kind::Internal, "pg_restore did not say which views could not be filled"));
        };
        match failed.first() {
            Some(first) if !self.neutralize && !self.choices.partial => Err(Error::new(
                Kind::Postgres,
                format!("{} could not be filled", counted(failed.len(), "materialized view")),
            )
            .because(first.why.clone())
            .next(PARTIAL)),
            _ => Ok(failed),
        }
    }

    fn compared(&self, found: &Baseline, entries: &[Entry], gone: &BTreeSet<i64>) -> Result<Compared> {
        let lost = without_these(entries, gone);
        let expected = |difference: &Difference| match difference {
            Difference::TableMissing { table, .. } | Difference::Table { table, .. } => lost.contains(table),
            Difference::Value { what, .. } => lost.contains(what),
            Difference::Part { table, what, .. } => {
                let schema = table.split('.').next().unwrap_or_default();
                let index = what.strip_prefix("index ").map(|name| format!("index {schema}.{name}"));
                lost.contains(table)
                    || lost.contains(&format!("{table} {what}"))
                    || index.is_some_and(|index| lost.contains(&index))
            }
            Difference::TableExtra { .. } => false,
        };
        let differences = compare(self.baseline, found);
        let differences: Vec<String> =
            differences.iter().filter(|d| !expected(d)).map(ToString::to_string).collect();
        if !differences.is_empty() {
            let told: Vec<&str> = differences.iter().take(DIFFERENCES_TOLD_MAX).map(String::as_str).collect();
            return Err(Error::new(Kind::Integrity, format!("the restored database differs from its baseline in {}", counted(differences.len(), "place")))
                .because(told.join("; "))
                .next("compare by hand and try another snapshot; to check whether this one is intact, run lifeboat verify --deep --identity FILE"));
        }
        let inputs = inputs_compared(self.baseline, found);
        Ok(Compared { tables: self.baseline.tables.len(), differences, inputs })
    }
}

fn without<'a>(entries: &'a [Entry], gone: &BTreeSet<i64>) -> Vec<&'a Entry> {
    entries.iter().filter(|entry| !gone.contains(&entry.id)).collect()
}

/// What the comparison reports as missing because it was not created: tables and their parts, sequences and
/// extensions, by their names there.
fn without_these(entries: &[Entry], gone: &BTreeSet<i64>) -> BTreeSet<String> {
    let gone = entries.iter().filter(|entry| gone.contains(&entry.id));
    gone.filter_map(|entry| match entry.desc.as_str() {
        "TABLE" | "TABLE DATA" => Some(format!("{}.{}", entry.namespace, entry.tag)),
        "EXTENSION" => Some(format!("extension {}", entry.tag)),
        "SEQUENCE" | "SEQUENCE OWNED BY" => Some(format!("sequence {}.{}", entry.namespace, entry.tag)),
        "INDEX" => Some(format!("index {}.{}", entry.namespace, entry.tag)),
        "DEFAULT" => part(entry, "default of"),
        "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" => part(entry, "constraint"),
        _ => None,
    })
    .collect()
}

/// A part of a table: its tag is the table and the part.
fn part(entry: &Entry, word: &str) -> Option<String> {
    let (table, name) = entry.tag.split_once(' ')?;
    Some(format!("{}.{table} {word} {name}", entry.namespace))
}

fn named(entries: &[Entry], failed: Vec<Failure>) -> Vec<NotMade> {
    let by_id: BTreeMap<i64, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let named = failed.into_iter().map(|failure| match by_id.get(&failure.entry) {
        Some(entry) => not_made(entry, failure.why, true),
        None => NotMade {
            what: format!("entry {} of the dump", failure.entry),
            why: failure.why,
            sql: String::new(),
            failed: true,
            derived: false,
        },
    });
    named.collect()
}

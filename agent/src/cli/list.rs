//! `lifeboat list`.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{App, Done, print};
use crate::archive::manifest::{Manifest, SnapshotKind};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, SnapshotId, TenantName, bytes_text};
use crate::repository::Repository;
use crate::repository::snapshots::{Found, Trust};

/// List the snapshots of the repository, oldest first
///
/// Needs no identity: it reads the signed manifests. A snapshot whose manifest is not believed
/// (unsigned, signed by an unknown key, damaged, of another repository) is listed too, with the
/// reason, and hides no other; exit code 3 then, and where a snapshot is gone that others need. "unfinished" is a folder without a manifest: a
/// backup is running, or one was cut short.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat list
  lifeboat list --tenant retail_north --kind dump
  lifeboat list --release 2026.11.20-rc1 --json")]
pub struct Args {
    /// Only snapshots of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantName>,
    /// Only snapshots tied to this release
    #[arg(long, value_name = "ID")]
    release: Option<ReleaseId>,
    /// Only snapshots of this kind
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<WantedKind>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// The flag of every command that reads manifests.
#[derive(clap::Args, Debug, Clone, Copy)]
pub struct TrustArgs {
    /// Believe manifests that nobody we trust has signed: whoever can write to the repository can
    /// then make a snapshot up. Damage is still found, forgery is not
    #[arg(long)]
    accept_unsigned: bool,
}

impl TrustArgs {
    /// Whose manifests are believed.
    ///
    /// # Errors
    /// `Config` where no key is trusted and the check was not given up.
    pub fn trust(self, config: &Config) -> Result<Trust> {
        if self.accept_unsigned {
            return Ok(Trust::Anyone);
        }
        Trust::keys(&config.signing.trusted_keys)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WantedKind {
    /// Databases
    Dump,
    /// Odoo's attachments on disk
    Filestore,
    /// Roles and tablespaces
    Globals,
    /// Files of the whole cluster
    Base,
}

impl WantedKind {
    fn kind(self) -> SnapshotKind {
        match self {
            WantedKind::Dump => SnapshotKind::Dump,
            WantedKind::Filestore => SnapshotKind::Filestore,
            WantedKind::Globals => SnapshotKind::Globals,
            WantedKind::Base => SnapshotKind::Base,
        }
    }
}

/// Lists.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let origin = repository.origin().await?;
    let all = repository.all_snapshots(&origin, &trust).await?;
    let lacks = lacks(&all);
    // Whose a snapshot is that is not believed cannot be known: it is always listed.
    let shown: Vec<Row> = all
        .into_iter()
        .zip(lacks)
        .map(|((id, found), lacks)| Row { id, found, lacks })
        .filter(|row| match &row.found {
            Ok(Found::Snapshot(manifest)) => args.wants(manifest),
            Ok(Found::Unfinished(id)) => args.tenant.is_none() && args.release.is_none() && args.may_be(id),
            Err(_) => args.may_be(&row.id),
        })
        .collect();
    let bad: Vec<&Error> = shown.iter().filter_map(|row| row.found.as_ref().err()).collect();
    let whole = bad.is_empty() && shown.iter().all(|row| row.lacks.is_empty());
    let done = if whole { Done::Complete } else { Done::Incomplete };
    let value = json!({
        "instance": repository.instance(),
        "repository": repository.store().url(),
        "snapshots": shown.iter().map(json_row).collect::<Vec<_>>(),
    });
    app.print(&value, || text(&repository, &shown))?;
    // "Could not look" is no statement about the snapshot: the store's own error says why.
    if let Some(unasked) = bad.iter().find(|e| matches!(e.kind(), Kind::Denied | Kind::Unreachable)) {
        print::err(&format!("some manifests could not be read: {}", unasked.what()));
    }
    Ok(done)
}

impl Args {
    fn wants(&self, manifest: &Manifest) -> bool {
        self.tenant.as_ref().is_none_or(|t| manifest.tenant.as_ref() == Some(t))
            && self.release.as_ref().is_none_or(|r| manifest.release.as_ref() == Some(r))
            && self.kind.is_none_or(|k| manifest.kind == k.kind())
    }

    fn may_be(&self, id: &SnapshotId) -> bool {
        self.kind.is_none_or(|k| id.as_str().contains(&format!("-{}-", k.kind())))
    }
}

/// One line of the list.
struct Row {
    id: SnapshotId,
    found: Result<Found>,
    /// Snapshots that it needs and that do not exist, or are not believed.
    lacks: Vec<SnapshotId>,
}

/// What each snapshot lacks: a dump its filestore, and what that needs itself.
fn lacks(all: &[(SnapshotId, Result<Found>)]) -> Vec<Vec<SnapshotId>> {
    let believed: BTreeMap<&SnapshotId, &Manifest> =
        all.iter().filter_map(|(id, found)| Some((id, believed_manifest(found)?))).collect();
    let needs = |of: Option<&Manifest>| -> BTreeSet<SnapshotId> {
        let direct = of.into_iter().flat_map(Manifest::needs);
        let further = direct.clone().filter_map(|id| believed.get(id)).flat_map(|m| m.needs());
        direct.chain(further).filter(|id| !believed.contains_key(id)).cloned().collect()
    };
    all.iter().map(|(_, found)| needs(believed_manifest(found)).into_iter().collect()).collect()
}

fn believed_manifest(found: &Result<Found>) -> Option<&Manifest> {
    match found {
        Ok(Found::Snapshot(manifest)) => Some(manifest),
        _ => None,
    }
}

/// How a snapshot stands: a word, and the reason where there is one.
fn standing(found: &Result<Found>) -> (&'static str, Option<&Error>) {
    match found {
        Ok(Found::Snapshot(_)) => ("stored", None),
        Ok(Found::Unfinished(_)) => ("unfinished", None),
        Err(e) if matches!(e.kind(), Kind::Denied | Kind::Unreachable | Kind::Io) => ("not read", Some(e)),
        Err(e) => ("not believed", Some(e)),
    }
}

fn json_row(row: &Row) -> Value {
    let Row { id, found, lacks } = row;
    let (standing, error) = standing(found);
    let error = error.map(|e| json!({ "kind": e.kind().slug(), "what": e.what(), "causes": e.causes() }));
    let mut row = json!({ "id": id, "standing": standing, "error": error });
    if let Ok(Found::Snapshot(manifest)) = found {
        row["kind"] = json!(manifest.kind);
        row["tenant"] = json!(manifest.tenant);
        row["release"] = json!(manifest.release);
        row["point"] = json!(manifest.point);
        row["stored_bytes"] = json!(manifest.stored_bytes());
        row["plain_bytes"] = json!(manifest.plain_bytes);
        row["missing_files"] = json!(missing_files(manifest));
        row["lacks"] = json!(lacks);
        row["notes"] = json!(notes(manifest, lacks));
    }
    row
}

fn missing_files(manifest: &Manifest) -> u64 {
    let link = manifest.dump.as_ref().and_then(|dump| dump.filestore.as_ref());
    link.map_or(0, |link| link.missing_files)
}

fn notes(manifest: &Manifest, lacks: &[SnapshotId]) -> Vec<String> {
    let mut notes = Vec::new();
    match lacks {
        [] => {}
        [one] => notes.push(format!("cannot be restored whole without {one}")),
        [first, rest @ ..] => {
            notes.push(format!("cannot be restored whole without {first} and {} more", rest.len()));
        }
    }
    match missing_files(manifest) {
        0 => {}
        1 => notes.push("missing 1 file".to_owned()),
        n => notes.push(format!("missing {n} files")),
    }
    if let Some(dump) = &manifest.dump {
        if dump.filestore.is_none() {
            notes.push("without filestore".to_owned());
        }
        if !dump.read_back {
            notes.push("not read back".to_owned());
        }
    }
    if let Some(filestore) = &manifest.filestore {
        notes.push(format!("{} files, {} new", filestore.files, filestore.new_files));
        if filestore.problem_files > 0 {
            notes.push(format!("{} with problems", filestore.problem_files));
        }
    }
    if let Some(base) = &manifest.base {
        let kind = if base.is_full() { "full" } else { "incremental" };
        notes.push(format!("{kind}, timeline {}, from {} on", base.timeline, base.stop_lsn));
        if base.bad_page_count > 0 {
            notes.push(format!("{} bad pages", base.bad_page_count));
        }
        if !base.left_out.is_empty() {
            notes.push(format!(
                "lacks {}",
                base.left_out.iter().map(|l| l.what.as_str()).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    notes
}

fn text(repository: &Repository, shown: &[Row]) -> String {
    if shown.is_empty() {
        return format!(
            "no snapshot fits in {} for instance {}",
            repository.store().url(),
            repository.instance()
        );
    }
    let mut rows: Vec<[String; 7]> =
        vec![["ID", "KIND", "TENANT", "RELEASE", "POINT (UTC)", "STORED", "NOTES"].map(str::to_owned)];
    let dash = || "-".to_owned();
    for Row { id, found, lacks } in shown {
        rows.push(match found {
            Ok(Found::Snapshot(m)) => [
                id.to_string(),
                m.kind.to_string(),
                m.tenant.as_ref().map_or_else(dash, ToString::to_string),
                m.release.as_ref().map_or_else(dash, ToString::to_string),
                clock::text(m.point),
                bytes_text(m.stored_bytes()),
                notes(m, lacks).join(", "),
            ],
            other => {
                let (word, error) = standing(other);
                let why = error.map_or(String::new(), |e| format!(": {}", e.what()));
                [id.to_string(), dash(), dash(), dash(), dash(), dash(), format!("{word}{why}")]
            }
        });
    }
    table(&rows)
}

/// Columns as wide as their widest cell; the last one as it comes.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let rows = [["a".into(), "b".into()], ["état".into(), "c".into()]];
        assert_eq!(table::<2>(&rows), "a     b\nétat  c\n");
    }
}

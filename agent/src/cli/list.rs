//! `lifeboat list`.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::list_text::{Row, missing_files, notes, text};
use super::past::PastArgs;
use super::table::WIDTH;
use super::trust::TrustArgs;
use super::{App, Done, print};
use crate::archive::manifest::{Manifest, SnapshotKind};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::needs::Graph;
use crate::inventory::take::Wanted;
use crate::inventory::{Inventory, Look, Snapshot};
use crate::names::{ReleaseId, SnapshotId, TenantName};
use crate::repository::Repository;

/// List the snapshots of the repository, by tenant
///
/// The newest come first; with --json the oldest.
///
/// Needs no identity: it reads the signed manifests. A snapshot whose manifest is not believed (unsigned,
/// signed by an unknown key, damaged, of another repository) is listed with the reason, and hides no other.
/// "unfinished" is a folder without a manifest: a backup is running or was cut short, or the manifest was
/// lost (lifeboat verify shows which).
///
/// Exit code 3: a manifest is not believed, or a snapshot is missing that others need.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat list
  lifeboat list --tenant retail_north --kind dump
  lifeboat list --release 2026.11.20-rc1 --json
  lifeboat list --releases")]
pub struct Args {
    /// Only snapshots of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantName>,
    /// Only snapshots of this release
    #[arg(long, value_name = "ID")]
    release: Option<ReleaseId>,
    /// Only snapshots of this kind
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<WantedKind>,
    /// The releases that have a checkpoint, instead of snapshots
    #[arg(long, conflicts_with_all = ["tenant", "release", "kind"])]
    releases: bool,
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
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
    /// Captured configuration
    Config,
}

impl WantedKind {
    fn kind(self) -> SnapshotKind {
        match self {
            WantedKind::Dump => SnapshotKind::Dump,
            WantedKind::Filestore => SnapshotKind::Filestore,
            WantedKind::Globals => SnapshotKind::Globals,
            WantedKind::Base => SnapshotKind::Base,
            WantedKind::Config => SnapshotKind::Config,
        }
    }
}

/// Lists.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    if args.releases {
        return super::evidence::releases(app).await;
    }
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let inventory = Inventory::take_to_show(&config, &repository, &trust, &Wanted::default()).await?;
    let graph = Graph::of(inventory.believed().map(|one| &one.manifest));
    // Whose a snapshot is that is not believed cannot be known: it is always listed.
    let shown: Vec<Row> = in_order(&inventory)
        .into_iter()
        .filter(|(id, look)| match look {
            Look::Believed(one) => args.wants(&one.manifest),
            Look::Unfinished => args.tenant.is_none() && args.release.is_none() && args.may_be(id),
            Look::NotBelieved(_) | Look::NotRead(_) => args.may_be(id),
        })
        .map(|(id, look)| Row { id, look, lacks: look.believed().map_or(Vec::new(), |_| graph.lacks(id)) })
        .collect();
    let bad: Vec<&Error> = shown.iter().filter_map(|row| row.look.error()).collect();
    let ahead = |row: &Row| row.look.believed().is_some_and(|one| one.clock_ahead().is_some());
    let whole = bad.is_empty() && shown.iter().all(|row| row.lacks.is_empty() && !ahead(row));
    let done = if whole { Done::Complete } else { Done::Incomplete };
    let value = json!({
        "instance": repository.instance(),
        "repository": repository.store().url(),
        "snapshots": shown.iter().map(json_row).collect::<Vec<_>>(),
    });
    let width = print::out_width().unwrap_or(WIDTH);
    app.print(&value, || match shown.is_empty() {
        true => args.none_of(&inventory, &repository).into(),
        false => text(&repository, &shown, width),
    })?;
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
            && self.kind.is_none_or(|k| manifest.kind() == k.kind())
    }

    /// What is said where there is none: what was looked for, and which tenants there are.
    fn none_of(&self, inventory: &Inventory, repository: &Repository) -> String {
        let kind = self.kind.map_or(String::new(), |kind| format!(" {}", kind.kind()));
        let mut text = format!("no{kind} snapshot");
        if let Some(tenant) = &self.tenant {
            text.push_str(&format!(" of tenant {tenant}"));
        }
        if let Some(release) = &self.release {
            text.push_str(&format!(" of release {release}"));
        }
        text.push_str(&format!(" in {} for instance {}", repository.store().url(), repository.instance()));
        let tenants: BTreeSet<&TenantName> =
            inventory.believed().filter_map(|one| one.manifest.tenant.as_ref()).collect();
        if self.tenant.as_ref().is_some_and(|asked| !tenants.contains(asked)) && !tenants.is_empty() {
            let names: Vec<String> = tenants.into_iter().map(ToString::to_string).collect();
            text.push_str(&format!("\ntenants with snapshots: {}", names.join(", ")));
        }
        text
    }

    fn may_be(&self, id: &SnapshotId) -> bool {
        self.kind.is_none_or(|k| id.as_str().contains(&format!("-{}-", k.kind())))
    }
}

/// All of them, the oldest first: by the store's time of those that are believed. The others stand where
/// their names put them, which is all that is known of them.
fn in_order(inventory: &Inventory) -> Vec<(&SnapshotId, &Look)> {
    let mut all: Vec<(&SnapshotId, &Look)> =
        inventory.snapshots.iter().map(|(id, look)| (id, look)).collect();
    let mut last = Timestamp::MIN;
    let mut keys: BTreeMap<&SnapshotId, Timestamp> = BTreeMap::new();
    for (id, look) in &all {
        last = look.believed().map_or(last, Snapshot::time);
        keys.insert(id, last);
    }
    all.sort_by_key(|(id, _)| (keys[id], *id));
    all
}

fn json_row(row: &Row) -> Value {
    let Row { id, look, lacks } = row;
    let error = look.error();
    let error = error.map(|e| json!({ "kind": e.kind().slug(), "what": e.what(), "causes": e.causes() }));
    let mut row = json!({ "id": id, "standing": look.word(), "error": error });
    if let Some(one) = look.believed() {
        let manifest = &one.manifest;
        row["kind"] = json!(manifest.kind());
        row["tenant"] = json!(manifest.tenant);
        row["release"] = json!(manifest.release);
        row["point"] = json!(manifest.point);
        row["stored_at"] = json!(one.stored_at);
        row["clock"] = json!(one.clock_note());
        row["stored_bytes"] = json!(one.stored_bytes);
        row["plain_bytes"] = json!(manifest.plain_bytes);
        row["missing_files"] = json!(missing_files(manifest));
        row["lacks"] = json!(lacks);
        row["notes"] = json!(notes(one, lacks).into_iter().map(|(_, note)| note).collect::<Vec<_>>());
    }
    row
}

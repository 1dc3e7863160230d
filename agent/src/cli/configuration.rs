//! `lifeboat config`: differences, restore and list of captured configurations.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::configuration_diff::{DiffArgs, diff};
use super::trust::TrustArgs;
use super::{App, Done, configuration_text, identity, print, table};
use crate::archive::manifest::SnapshotKind;
use crate::error::{Error, Kind, Result};
use crate::inventory::configuration::stored;
use crate::inventory::take::{Wanted, Which};
use crate::inventory::{Inventory, Snapshot};
use crate::names::{ReleaseId, SnapshotId, bytes_text, counted};
use crate::recovery::configuration::{ConfigPick, Restored, find, restore};
use crate::repository::Repository;

/// How many places of secrets are printed; README.txt has all.
const NAMED_MAX: usize = 20;
/// Digits of a digest in the list.
const DIGITS: usize = 12;

/// Compare, restore and list captured configurations
///
/// `lifeboat backup --kind config` and a checkpoint capture the configuration of the host and of Kubernetes.
/// Secrets are never in it, only keyed digests of them.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  # what changed between two releases, and since the last one
  lifeboat config diff 2026.11.1 2026.11.2
  lifeboat config diff 2026.11.2 now
  lifeboat config restore --release 2026.11.1 /tmp/config --identity id.txt")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Diff(DiffArgs),
    Restore(RestoreArgs),
    List(ListArgs),
}

/// Restore a configuration into a new directory
///
/// Writes files/, kubernetes/ (for kubectl apply), helm/, secrets/ (names only), artifacts/ (byte for byte)
/// and README.txt, which says where secrets must be filled in. Nothing that exists is replaced.
#[derive(clap::Args, Debug)]
struct RestoreArgs {
    /// The new directory; it may exist if it is empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The newest configuration of this release
    #[arg(long, value_name = "ID", required_unless_present = "snapshot", conflicts_with = "snapshot")]
    release: Option<ReleaseId>,
    /// This snapshot
    #[arg(long, value_name = "ID")]
    snapshot: Option<SnapshotId>,
    /// The age identity that opens it; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// List the configurations that are stored, the newest first
#[derive(clap::Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    trust: TrustArgs,
}

/// Runs the command.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Diff(args) => diff(args, app).await,
        Command::Restore(args) => restored(args, app).await,
        Command::List(args) => app.looking(list(args, app)).await,
    }
}

async fn restored(args: RestoreArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let identities = identity::identities(&args.identity, &config)?;
    let pick = match (args.release, args.snapshot) {
        (_, Some(id)) => ConfigPick::Snapshot(id),
        (Some(release), None) => ConfigPick::Release(release),
        (None, None) => return Err(Error::new(Kind::Usage, "--release or --snapshot is required")),
    };
    let repository = Repository::configured(&config).await?;
    let manifest = find(&repository, &repository.origin().await?, &trust, &pick).await?;
    let shown = app.progress("restore the configuration", None);
    let done = restore((&config, &repository), manifest, &args.dir, identities, &shown, &app.cancel).await;
    shown.finish();
    let done = done?;
    app.print(&done, || restored_text(&done))?;
    Ok(Done::Complete)
}

fn restored_text(done: &Restored) -> String {
    let (files, size) = (counted(done.files, "file"), bytes_text(done.bytes));
    let mut out =
        format!("{} is restored in {}: {files} ({size}), each checked\n", done.snapshot, done.dir.display());
    for place in done.by_hand.iter().take(NAMED_MAX) {
        let line = if place.line == 0 { String::new() } else { format!(" line {}", place.line) };
        let _ = writeln!(out, "  fill in: {}{line}: {}", place.path, place.what);
    }
    if done.by_hand.len() > NAMED_MAX {
        let _ = writeln!(out, "  fill in: {} more (README.txt lists them)", done.by_hand.len() - NAMED_MAX);
    }
    out.trim_end().to_owned()
}

async fn list(args: ListArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let wanted = Wanted { snapshots: Which::Kind(SnapshotKind::Config), ..Wanted::default() };
    let inventory = Inventory::take(&repository, &trust, &wanted).await?;
    let all: Vec<&Snapshot> = stored(&inventory).into_iter().rev().collect();
    let bad = inventory.not_believed();
    let value = json!({
        "instance": repository.instance(),
        "configurations": all.iter().map(|one| row(one)).collect::<Vec<_>>(),
        "not_believed": bad.iter().map(|(id, e)| json!({ "id": id, "error": e.what() })).collect::<Vec<_>>(),
    });
    app.print(&value, || text(&all, &bad))?;
    Ok(if bad.is_empty() { Done::Complete } else { Done::Incomplete })
}

fn row(one: &Snapshot) -> serde_json::Value {
    let (manifest, facts) = (&one.manifest, one.manifest.config());
    json!({
        "id": manifest.id,
        "release": manifest.release,
        "point": manifest.point,
        "stored_at": one.stored_at,
        "files": facts.map(|facts| facts.files),
        "objects": facts.map(|facts| facts.objects),
        "artifacts": facts.map(|facts| &facts.artifacts),
        "sha256": facts.map(|facts| facts.sha256),
    })
}

fn text(all: &[&Snapshot], bad: &[(SnapshotId, Error)]) -> super::screen::Text {
    let mut rows: Vec<[table::Cell; 4]> = Vec::new();
    for one in all {
        let Some(facts) = one.manifest.config() else { continue };
        let release = one.manifest.release.as_ref().map_or("-", |release| release.as_str());
        rows.push([
            one.manifest.id.as_str().into(),
            release.into(),
            facts.sha256.to_string()[..DIGITS].into(),
            configuration_text::counts(facts).into(),
        ]);
    }
    let mut text = super::screen::Text::default();
    if rows.is_empty() {
        text.add("no configuration is stored: lifeboat backup --kind config stores one");
    }
    text.extend(table::table(&rows, print::out_width().unwrap_or(table::WIDTH)));
    bad.iter().for_each(|(id, e)| text.add(format!("{id}: {}", e.what())));
    text
}

//! `lifeboat diff`.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::identity::identities;
use super::past::PastArgs;
use super::screen::{Text, Tone};
use super::trust::TrustArgs;
use super::{App, Done};
use crate::archive::manifest::{BASELINE, Manifest, SnapshotKind};
use crate::archive::seal::Identities;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::pick::oldest_first;
use crate::inventory::take::{Wanted, Which};
use crate::names::{SnapshotId, TenantName, counted};
use crate::odoo::baseline::Baseline;
use crate::odoo::changes::{Change, Weight, changes, not_compared};
use crate::odoo::neutralized::is_neutralized;
use crate::postgres::{PostgresOptions, Session, look};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Show what changed in a tenant between two dumps
///
/// Compares what two dumps recorded: documents by day, prices, costs, rates, taxes, bank accounts, users and
/// rights, parameters, views, columns, indexes, constraints, and the rows of each table. Needs an identity.
/// Nothing is restored. With --database, a database that exists is compared with a dump.
///
/// Exit code 3: something is lost that normal work does not explain. 0: nothing is lost.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat diff --tenant retail_north --identity id.txt
  lifeboat diff 20261120T015812Z-dump-4f3a9c1e 20261121T015812Z-dump-9fc2ac9c
  lifeboat diff 20261120T015812Z-dump-4f3a9c1e --database retail_north --json")]
pub struct Args {
    /// Two dumps of a tenant; one with --database
    #[arg(value_name = "SNAPSHOT", num_args = 1..=2, required_unless_present = "tenant", conflicts_with = "tenant")]
    snapshots: Vec<SnapshotId>,
    /// Compare the last two dumps of this tenant; with --database the last one
    #[arg(long, value_name = "TENANT", allow_hyphen_values = true)]
    tenant: Option<TenantName>,
    /// Compare the dump with this database of the configured server, as it is now
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    database: Option<TenantName>,
    /// An age identity, to open the baselines; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
}

/// One side of the comparison.
struct Side {
    baseline: Baseline,
    name: String,
    value: Value,
}

/// Compares and prints.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let identities = Arc::new(identities(&args.identity, &config)?);
    let repository = Repository::configured(&config).await?;
    let (before, after) = manifests(&args, &repository, &trust).await?;
    let (tenant, of) = (before.tenant.clone(), after.as_ref().map(|after| after.tenant.clone()));
    if of.as_ref().is_some_and(|of| *of != tenant) {
        return Err(Error::new(Kind::Usage, "the two snapshots are of different tenants")
            .next("lifeboat list shows whose each snapshot is"));
    }
    let before = stored(&repository, before, &identities).await?;
    let (after, is_copy) = match (after, &args.database) {
        (Some(after), _) => (stored(&repository, after, &identities).await?, false),
        (None, Some(database)) => live(&config, app, database).await?,
        (None, None) => return Err(Error::new(Kind::Usage, "name two snapshots, or --database")),
    };
    let mut found = changes(&before.baseline, &after.baseline);
    if is_copy {
        found.retain(|change| change.what != "database.uuid"); // neutralizing gives it another one
    }
    let missing = not_compared(&before.baseline, &after.baseline);
    let count = |weight| found.iter().filter(|change| change.weight == weight).count();
    let value = json!({
        "tenant": tenant,
        "before": before.value,
        "after": after.value,
        "lost": count(Weight::Lost),
        "changed": count(Weight::Changed),
        "grown": count(Weight::Grown),
        "changes": found,
        "not_compared": missing,
        "neutralized": is_copy,
    });
    app.print(&value, || text(&before, &after, &found, &missing, is_copy))?;
    Ok(if count(Weight::Lost) == 0 { Done::Complete } else { Done::Incomplete })
}

/// The two dumps, the older one first; one if the other side is a database.
async fn manifests(
    args: &Args,
    repository: &Repository,
    trust: &Trust,
) -> Result<(Manifest, Option<Manifest>)> {
    let origin = repository.origin().await?;
    let want = if args.database.is_some() { 1 } else { 2 };
    let mut ids = args.snapshots.clone();
    if let Some(tenant) = &args.tenant {
        let wanted = Wanted { snapshots: Which::Kind(SnapshotKind::Dump), ..Wanted::default() };
        let inventory = Inventory::take(repository, trust, &wanted).await?;
        let dumps = oldest_first(inventory.of_kind(SnapshotKind::Dump, Some(tenant)));
        ids = dumps.iter().rev().take(want).map(|one| one.manifest.id.clone()).collect();
        if ids.len() < want {
            let what = format!("{tenant} has {}, and {want} are compared", counted(ids.len() as u64, "dump"));
            return Err(Error::new(Kind::NotFound, what).next("lifeboat list shows all snapshots"));
        }
    }
    if ids.len() != want {
        return Err(Error::new(
            Kind::Usage,
            format!("{} given, but {want} needed", counted(ids.len() as u64, "snapshot")),
        )
        .next("name two snapshots, or one and --database"));
    }
    let mut found = Vec::new();
    for id in &ids {
        let manifest = repository.manifest(id, &origin, trust).await?;
        if manifest.dump().is_none() {
            let what = format!("snapshot {id} is a {}: only dumps are compared", manifest.kind());
            return Err(Error::new(Kind::Usage, what));
        }
        found.push(manifest);
    }
    found.sort_by_key(|manifest| manifest.point);
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(before), after) => Ok((before, after)),
        (None, _) => Err(Error::new(Kind::Usage, "no snapshot is named")),
    }
}

async fn stored(repository: &Repository, manifest: Manifest, identities: &Arc<Identities>) -> Result<Side> {
    let baseline = repository.sealed(&manifest, BASELINE, identities, |input| Baseline::read(input)).await?;
    let name = format!("{}  {}", manifest.id, clock::text(manifest.point));
    let value = json!({ "snapshot": manifest.id, "point": manifest.point, "release": manifest.release });
    Ok(Side { baseline, name, value })
}

/// A database as it is now, and whether it is a neutralized copy.
async fn live(config: &Config, app: &App, database: &TenantName) -> Result<(Side, bool)> {
    let options = PostgresOptions::from(&config.postgres).stopped_by(&app.cancel);
    let is_copy = is_neutralized(&options, database.as_str()).await?;
    let mut session = Session::connect(&options, database.as_str()).await?;
    look::begin(&mut session).await?;
    let baseline = Baseline::take(&mut session).await?;
    look::end(&mut session).await?;
    session.close().await;
    let now = clock::now();
    let name = format!("database {database}  {}", clock::text(now));
    let value = json!({ "database": database, "point": now });
    Ok((Side { baseline, name, value }, is_copy))
}

fn text(before: &Side, after: &Side, found: &[Change], missing: &[&str], is_copy: bool) -> Text {
    let mut out = Text::default();
    out.line(8).plain(format!("before  {}", before.name));
    out.line(8).plain(format!("after   {}", after.name));
    for part in missing {
        out.line(2)
            .push(Tone::Warning, "not compared:")
            .plain(format!(" {part} (an older program made one of the two)"));
    }
    if is_copy {
        out.line(2).plain("the database is a neutralized copy: what neutralizing changed is listed, too");
    }
    for (weight, word, tone, says) in [
        (Weight::Lost, "LOST", Tone::Bad, "no normal work explains it"),
        (Weight::Changed, "CHANGED", Tone::Warning, "somebody should confirm that it was meant"),
        (Weight::Grown, "GROWN", Tone::Plain, "normal work"),
    ] {
        let all: Vec<&Change> = found.iter().filter(|change| change.weight == weight).collect();
        if all.is_empty() {
            continue;
        }
        out.line(0);
        out.line(2).push(tone, word).plain(format!(" {}: {says}", all.len()));
        for change in all {
            out.line(4).plain(format!("  {}: {}", change.what, change.says));
            for example in &change.examples {
                out.line(8).plain(format!("      {example}"));
            }
        }
    }
    if found.is_empty() {
        out.line(0).plain("no difference");
    }
    out
}

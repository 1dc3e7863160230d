//! `lifeboat show`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::identity::identities;
use super::past::PastArgs;
use super::trust::TrustArgs;
use super::{App, Done, configuration_text};
use crate::archive::elsewhere;
use crate::archive::manifest::{BASELINE, Manifest};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, bytes_text, counted};
use crate::odoo::baseline::Baseline;
use crate::repository::Repository;

/// How many lines of each sort are printed.
const LINES_MAX: usize = 40;

/// Show what is in a snapshot, from its signed manifest
///
/// Prints the tenant, the time, the release, the recipients, the objects, and each missing file with the
/// reason. Needs no identity. With --json the manifest as it is stored. For a dump, an identity also shows
/// what was in the database: Odoo's modules, and rows by table ("baseline" in --json, with every table).
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat show 20261120T015812Z-dump-4f3a9c1e
  lifeboat show 20261120T015812Z-dump-4f3a9c1e --identity id.txt
  lifeboat show 20261120T015812Z-filestore-1b2c3d4e --json")]
pub struct Args {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: SnapshotId,
    /// An age identity, to open the baseline of a dump; may be repeated
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
}

/// Prints it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let found = repository.manifest(&args.snapshot, &repository.origin().await?, &trust).await;
    let manifest = found.map_err(|e| match e.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("there is no snapshot {}", args.snapshot))
            .because(e)
            .next("lifeboat list shows all snapshots, unfinished ones too; lifeboat verify shows whether others need it"),
        _ => e,
    })?;
    if args.identity.is_empty() {
        app.print(&manifest, || text(&manifest, None))?;
        return Ok(Done::Complete);
    }
    if manifest.dump().is_none() {
        return Err(Error::new(
            Kind::Usage,
            format!("snapshot {} is a {}: only a dump has a baseline", manifest.id, manifest.kind()),
        )
        .next("omit --identity; lifeboat cat SNAPSHOT PATH --identity FILE writes a file of a snapshot"));
    }
    let identities = Arc::new(identities(&args.identity, &config)?);
    let baseline = repository.sealed(&manifest, BASELINE, &identities, |input| Baseline::read(input)).await?;
    let mut value = serde_json::to_value(&manifest)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the manifest").because(e))?;
    value["baseline"] = json!(baseline);
    app.print(&value, || text(&manifest, Some(&baseline)))?;
    Ok(Done::Complete)
}

fn text(manifest: &Manifest, baseline: Option<&Baseline>) -> String {
    let mut out = format!("snapshot   {}\nkind       {}\n", manifest.id, manifest.kind());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<10} {value}");
    };
    if let Some(tenant) = &manifest.tenant {
        line("tenant", tenant.to_string());
    }
    if let Some(release) = &manifest.release {
        line("release", release.to_string());
    }
    line("state of", clock::text(manifest.point));
    line(
        "stored",
        format!(
            "{} in {} objects, finished at {}",
            bytes_text(manifest.stored_bytes()),
            manifest.objects.len(),
            clock::text(manifest.ended)
        ),
    );
    for recipient in &manifest.recipients {
        line("encrypted to", recipient.clone());
    }
    if let Some(dump) = manifest.dump() {
        line("odoo", dump.odoo_version.clone().unwrap_or_else(|| "unknown".into()));
        line("dump", format!("{}, {}, owner {}", bytes_text(dump.bytes), dump.pg_dump, dump.owner));
        line("read back", if dump.read_back { "by pg_restore, to its end" } else { "no" }.into());
        for warning in &dump.warnings {
            line("warning", warning.clone());
        }
        if let Some(link) = &dump.filestore {
            line("filestore", format!("{}, {} files named by the database", link.snapshot, link.referenced));
            line("fence", link.fence.clone());
            line("missing", format!("{} files", link.missing_count()));
            for file in link.missing_named().take(LINES_MAX) {
                line("", file.to_string());
            }
            more(link.missing_count() as usize, "files", &mut line);
            if let Some(told) = elsewhere::told(&link.elsewhere) {
                line("elsewhere", told);
            }
        }
    }
    if let Some(facts) = manifest.filestore() {
        line("files", format!("{} ({}), {} new", facts.files, bytes_text(facts.bytes), facts.new_files));
        line(
            "chain",
            format!(
                "{} index{}, content in {}",
                facts.index_chain.len(),
                if facts.index_chain.len() == 1 { "" } else { "es" },
                counted(facts.sources.len() as u64, "snapshot")
            ),
        );
        if let Some(why) = &facts.full_because {
            line("read full", why.clone());
        }
        for problem in facts.problems.iter().take(LINES_MAX) {
            line("problem", problem.clone());
        }
        more(facts.problem_files as usize, "problems", &mut line);
    }
    if let Some(facts) = manifest.base() {
        line("cluster", format!("{}, PostgreSQL {}", facts.system_identifier, facts.server_version));
        line("files", format!("{} ({})", facts.files, bytes_text(facts.bytes)));
        line("wal", format!("{} to {} on timeline {}", facts.start_lsn, facts.stop_lsn, facts.timeline));
        for id in facts.chain.iter().take(facts.chain.len() - 1) {
            line("builds on", id.to_string());
        }
        if let Some(why) = &facts.full_because {
            line("read full", why.clone());
        }
        for tablespace in &facts.tablespaces {
            line("tablespace", format!("{} in {}", tablespace.name, tablespace.location));
        }
        if !facts.data_checksums {
            line("checksums", "the cluster has none: no page was checked".to_owned());
        }
        for bad in facts.bad_pages.iter().take(LINES_MAX) {
            line("bad page", format!("{} block {}", bad.path, bad.block));
        }
    }
    if let Some(facts) = manifest.config() {
        configuration_text::facts(facts, LINES_MAX, &mut line);
    }
    for object in manifest.objects.iter().take(LINES_MAX) {
        line("object", format!("{} ({}), SHA-256", object.name, bytes_text(object.bytes)));
        line("", object.sha256.to_string());
    }
    more(manifest.objects.len(), "objects", &mut line);
    line("written by", manifest.written_by.clone());
    match baseline {
        Some(baseline) => tell_baseline(baseline, &mut line),
        None if manifest.dump().is_some() => {
            line(
                "baseline",
                format!("encrypted ({BASELINE}): --identity FILE shows modules and rows by table"),
            );
        }
        None => {}
    }
    out.trim_end().to_owned()
}

/// What was in the database. Tables with most rows first: these are what people ask for.
fn tell_baseline(baseline: &Baseline, line: &mut impl FnMut(&str, String)) {
    let unknown = || "unknown".to_owned();
    let (modules, tables) = (&baseline.modules, &baseline.tables);
    line(
        "baseline",
        format!(
            "{} modules, {} tables, {} rows at that moment",
            modules.len(),
            tables.len(),
            baseline.rows()
        ),
    );
    line("uuid", baseline.database_uuid.clone().unwrap_or_else(unknown));
    let properties = &baseline.properties;
    line("database", format!("{}, collation {}", properties.encoding, properties.collate));
    let roles: Vec<&str> = baseline.roles.iter().take(LINES_MAX).map(String::as_str).collect();
    line("roles", roles.join(", "));
    more(baseline.roles.len(), "roles", line);
    for what in baseline.reaches.iter().take(LINES_MAX) {
        line("reaches", what.clone());
    }
    more(baseline.reaches.len(), "reaches", line);
    for (name, list) in [("extension", &baseline.extensions), ("module", modules)] {
        for item in list.iter().take(LINES_MAX) {
            line(name, format!("{} {}", item.name, item.version.as_deref().unwrap_or("without version")));
        }
        more(list.len(), &format!("{name}s"), line);
    }
    let mut tables: Vec<_> = tables.iter().collect();
    tables.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| (&a.schema, &a.name).cmp(&(&b.schema, &b.name))));
    for table in tables.iter().take(LINES_MAX) {
        let id = table.max_id.map_or(String::new(), |id| format!(", highest id {id}"));
        let date =
            table.max_write_date.as_ref().map_or(String::new(), |date| format!(", last written {date}"));
        line("table", format!("{}.{}: {} rows{id}{date}", table.schema, table.name, table.rows));
    }
    more(tables.len(), "tables", line);
}

fn more(all: usize, what: &str, line: &mut impl FnMut(&str, String)) {
    if all > LINES_MAX {
        line("", format!("and {} more {what} (--json lists them)", all - LINES_MAX));
    }
}

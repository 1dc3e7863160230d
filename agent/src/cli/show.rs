//! `lifeboat show`.

use std::fmt::Write as _;

use super::list::TrustArgs;
use super::{App, Done};
use crate::archive::manifest::Manifest;
use crate::clock;
use crate::error::Result;
use crate::names::{SnapshotId, bytes_text};
use crate::repository::Repository;

/// Objects and files that are printed one by one.
const LINES_MAX: usize = 40;

/// Show what a snapshot is: from its signed manifest, without a key
///
/// Whose, when, tied to which release, sealed to whom, which objects, which files are missing and
/// why. With --json the manifest as it is stored.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat show 20261120T015812Z-dump-4f3a9c1e
  lifeboat show 20261120T015812Z-filestore-1b2c3d4e --json")]
pub struct Args {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: SnapshotId,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Prints it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let manifest = repository.manifest(&args.snapshot, &repository.origin().await?, &trust).await?;
    app.print(&manifest, || text(&manifest))?;
    Ok(Done::Complete)
}

fn text(manifest: &Manifest) -> String {
    let mut out = format!("snapshot   {}\nkind       {}\n", manifest.id, manifest.kind);
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
            "{} in {} objects, until {}",
            bytes_text(manifest.stored_bytes()),
            manifest.objects.len(),
            clock::text(manifest.ended)
        ),
    );
    for recipient in &manifest.recipients {
        line("sealed to", recipient.clone());
    }
    if let Some(dump) = &manifest.dump {
        line("odoo", dump.odoo_version.clone().unwrap_or_else(|| "unknown".into()));
        line("dump", format!("{}, {}, owner {}", bytes_text(dump.bytes), dump.pg_dump, dump.owner));
        line("read back", if dump.read_back { "by pg_restore, to its end" } else { "no" }.into());
        for warning in &dump.warnings {
            line("warning", warning.clone());
        }
        if let Some(link) = &dump.filestore {
            line("filestore", format!("{}, {} files named by the database", link.snapshot, link.referenced));
            line("fence", link.fence.clone());
            line("missing", format!("{} files", link.missing_files));
            for file in link.missing.iter().take(LINES_MAX) {
                line("", format!("{}: {}", file.store_fname, file.why));
            }
        }
    }
    if let Some(facts) = &manifest.filestore {
        line("files", format!("{} ({}), {} new", facts.files, bytes_text(facts.bytes), facts.new_files));
        line(
            "chain",
            format!("{} indexes, content in {} snapshots", facts.index_chain.len(), facts.sources.len()),
        );
        if let Some(why) = &facts.full_because {
            line("read full", why.clone());
        }
        for problem in facts.problems.iter().take(LINES_MAX) {
            line("problem", problem.clone());
        }
    }
    if let Some(facts) = &manifest.base {
        line("cluster", format!("{}, PostgreSQL {}", facts.system_identifier, facts.server_version));
        line("files", format!("{} ({})", facts.files, bytes_text(facts.bytes)));
        line("wal", format!("{} to {} on timeline {}", facts.start_lsn, facts.stop_lsn, facts.timeline));
        for id in facts.chain.iter().take(facts.chain.len() - 1) {
            line("upon", id.to_string());
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
    for object in manifest.objects.iter().take(LINES_MAX) {
        line("object", format!("{}  {:>10}  {}", object.sha256, bytes_text(object.bytes), object.name));
    }
    if manifest.objects.len() > LINES_MAX {
        line("", format!("and {} more objects (--json lists them)", manifest.objects.len() - LINES_MAX));
    }
    line("written by", manifest.written_by.clone());
    out.trim_end().to_owned()
}

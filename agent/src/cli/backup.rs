//! `lifeboat backup`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::commands::runnable;
use super::{App, Done, backup_configuration, print, suspicion};
use crate::archive::elsewhere;
use crate::archive::manifest::{FilestoreLink, Manifest};
use crate::backup::{self, BackupRequest, Kinds, OfClasses, Report};
use crate::clock::span_text;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, TenantName, bytes_text, shell_word};

/// Largest release file that is read.
const RELEASE_FILE_BYTES_MAX: u64 = 4096;

/// Back up databases and filestores into the repository
///
/// For each tenant, Lifeboat stores a dump (pg_dump, read back by pg_restore on the way) and then a snapshot
/// of the filestore. Roles and tablespaces are stored once. Filestore snapshots are always incremental: files
/// that the repository holds are not read again. A snapshot exists only when its signed manifest is stored,
/// so an interrupted backup leaves no snapshot.
///
/// Exit code 3: the backup is stored, but a tenant or a file is missing.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  # every tenant, dump and filestore
  lifeboat backup
  lifeboat backup --tenant retail_north --release 2026.11.20-rc1
  lifeboat backup --kind filestore --json
  # the whole cluster, for recovery to any point in time
  lifeboat backup --kind base
  # what is configured around it, and the files that make this release
  lifeboat backup --kind config --release 2026.11.20 --attach sbom.json")]
pub struct Args {
    /// Back up only this tenant; may be repeated [default: odoo.tenants, or all that are found]
    #[arg(long, value_name = "NAME")]
    tenant: Vec<TenantName>,
    /// Back up only the tenants of this recovery class ([class.NAME]); may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tenant", "all_but_class"])]
    class: Vec<String>,
    /// Back up all tenants but those of this recovery class; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "tenant")]
    all_but_class: Vec<String>,
    /// The release of the snapshots [default: $LIFEBOAT_RELEASE, then backup.release_file]
    #[arg(long, value_name = "ID")]
    release: Option<ReleaseId>,
    /// Store only this kind; may be repeated [default: dump and filestore]
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<WantedKind>,
    /// With --kind base or filestore: store every file again, not only what changed
    #[arg(long)]
    full: bool,
    /// With --kind config: store this file or folder too, as it is; may be repeated
    #[arg(long, value_name = "PATH")]
    attach: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WantedKind {
    /// The database, with roles and tablespaces of the instance
    Dump,
    /// Odoo's attachments on disk
    Filestore,
    /// The files of the whole cluster; only blocks that changed since the last base backup
    Base,
    /// Files and Kubernetes objects of [configuration], with digests in place of secrets
    Config,
}

/// Runs the backup and says what is stored.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let wants = |kind| args.kind.contains(&kind);
    let both = args.kind.is_empty();
    let chosen = [&args.class, &args.all_but_class].iter().any(|names| !names.is_empty());
    let not_all = args.kind.len() > 1 || !args.tenant.is_empty() || chosen;
    if wants(WantedKind::Base) && not_all {
        return Err(Error::new(
            Kind::Usage,
            "--kind base backs up the whole cluster: it cannot be combined with --tenant, --class, --all-but-class \
             or another kind",
        ));
    }
    if wants(WantedKind::Config) && not_all {
        return Err(Error::new(
            Kind::Usage,
            "--kind config backs up the configuration of the whole instance: it cannot be combined with --tenant, \
             --class, --all-but-class or another kind",
        ));
    }
    if !args.attach.is_empty() && !wants(WantedKind::Config) {
        return Err(Error::new(Kind::Usage, "--attach goes with --kind config"));
    }
    if args.full && !wants(WantedKind::Base) && !wants(WantedKind::Filestore) {
        return Err(Error::new(Kind::Usage, "--full goes with --kind base or --kind filestore"));
    }
    let release = match args.release {
        Some(release) => Some(release),
        None => release(app, config.backup.release_file.as_deref())?,
    };
    if config.backup.low_priority {
        disk::lower_priority();
    }
    if wants(WantedKind::Base) {
        return base(&config, backup::base::BaseRequest { full: args.full, release }, app).await;
    }
    if wants(WantedKind::Config) {
        return backup_configuration::run(&config, release, &args.attach, app).await;
    }
    let kinds = Kinds {
        dump: both || wants(WantedKind::Dump),
        filestore: both || wants(WantedKind::Filestore),
        full: args.full,
    };
    let classes = match (args.class.is_empty(), args.all_but_class.is_empty()) {
        (true, true) => OfClasses::All,
        (false, _) => OfClasses::Only(args.class),
        (true, false) => OfClasses::AllBut(args.all_but_class),
    };
    let request = BackupRequest { tenants: args.tenant, classes, kinds, release };
    let shown = app.progress("backup", None);
    let report = backup::run(&config, request, shown.clone(), app.cancel.clone()).await;
    shown.finish();
    let report = report?;
    for (name, e) in &report.failures {
        print::err(&format!("{name}:"));
        print::error(e, false);
    }
    let failed = report.verdict().err();
    app.print(&json(&report, failed.as_ref())?, || text(&report))?;
    Ok(ended(failed))
}

/// What the report said already decides the exit code.
fn ended(failed: Option<Error>) -> Done {
    match failed {
        None => Done::Complete,
        Some(e) => {
            print::error(&e, false); // its JSON is part of the report: one document, not two
            Done::Failed(e.kind())
        }
    }
}

async fn base(config: &Config, request: backup::base::BaseRequest, app: &App) -> Result<Done> {
    let shown = app.progress("base backup", None);
    let report = backup::base::run(config, request, shown.clone(), app.cancel.clone()).await;
    shown.finish();
    let report = report?;
    app.print(&report, || base_text(&report))?;
    Ok(ended(report.verdict().err()))
}

fn base_text(report: &backup::base::Report) -> String {
    let manifest = &report.manifest;
    let took = span_text(std::time::Duration::from_secs_f64(report.seconds));
    let mut out = format!("instance {}  ({took})\n", manifest.origin.instance);
    if let Some(facts) = manifest.base() {
        let kind = match facts.chain.len() {
            1 => "full".to_owned(),
            n => format!("number {n} of its chain"),
        };
        let (all, stored) = (bytes_text(facts.bytes), bytes_text(manifest.stored_bytes()));
        line(&mut out, manifest, &format!("{kind}: {} files, {all}, {stored} stored", facts.files));
        if report.unread_bytes > 0 {
            let (read, by_times) = (bytes_text(report.read_bytes), bytes_text(report.trusted_bytes));
            let by_summaries = bytes_text(report.unread_bytes - report.trusted_bytes);
            let of = match (report.trusted_bytes, report.unread_bytes - report.trusted_bytes) {
                (_, 0) => {
                    format!("{by_times} were not read: size, inode and times of the files are as before")
                }
                (0, _) => format!(
                    "{by_summaries} were not read: the server's WAL summaries say that they are unchanged"
                ),
                _ => format!(
                    "{by_times} were not read because size, inode and times of the files are as before, {by_summaries} because the server's WAL summaries say that they are unchanged"
                ),
            };
            let _ = writeln!(out, "    {read} read; {of}");
        }
        if report.compared_bytes > 0 {
            let compared = bytes_text(report.compared_bytes);
            let _ = writeln!(out, "    {compared} of these files were read as a sample: unchanged");
        }
        if let Some(why) = &report.times_not_trusted_because {
            let _ = writeln!(out, "    the times of files were not trusted: {why}");
        }
        if let Some(why) = &report.read_all_because {
            let _ = writeln!(out, "    everything was read: {why}");
        }
        let _ = writeln!(out, "    recoverable from {} on, timeline {}", facts.stop_lsn, facts.timeline);
        if !facts.data_checksums {
            let _ = writeln!(out, "    the cluster has no page checksums: no page could be checked");
        }
        if let Some(why) = &facts.full_because {
            let _ = writeln!(out, "    full, because {why}");
        }
        for bad in facts.bad_pages.iter().take(20) {
            let _ = writeln!(out, "    bad page: {} block {}", bad.path, bad.block);
        }
    }
    for note in &report.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.trim_end().to_owned()
}

/// The release of the environment, or of the file that the pipeline writes.
pub(super) fn release(app: &App, file: Option<&Path>) -> Result<Option<ReleaseId>> {
    if let Some(text) = app.inputs.variable("LIFEBOAT_RELEASE")? {
        return text.parse().map(Some).map_err(|e: Error| {
            Error::new(Kind::Config, "the environment variable LIFEBOAT_RELEASE is wrong").because(e)
        });
    }
    let Some(file) = file else { return Ok(None) };
    match disk::read_text(file, RELEASE_FILE_BYTES_MAX) {
        Ok(text) => text.trim().parse().map(Some).map_err(|e: Error| {
            Error::new(Kind::Config, format!("{} does not hold a release ID", file.display())).because(e)
        }),
        Err(e) => Err(e
            .effect("nothing was backed up: it could not be tied to a release")
            .next("backup.release_file names the file; unset it, or pass --release")),
    }
}

fn json(report: &Report, failed: Option<&Error>) -> Result<serde_json::Value> {
    let mut value = serde_json::to_value(report)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the report").because(e))?;
    let failures = report.failures.iter().map(|(name, e)| {
        serde_json::json!({ "name": name, "kind": e.kind().slug(), "error": e.what(), "causes": e.causes() })
    });
    value["failures"] = failures.collect();
    if let Some(e) = failed {
        value["error"] = print::error_value(e);
    }
    Ok(value)
}

fn line(out: &mut String, manifest: &Manifest, what: &str) {
    let _ = writeln!(out, "  {:<9} {}  {what}", manifest.kind().as_str(), manifest.id);
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let release = report.release.as_ref().map_or(String::new(), |r| format!(", release {r}"));
    let _ = writeln!(out, "instance {}{release}", report.instance);
    if let Some(globals) = &report.globals {
        line(&mut out, globals, "roles and tablespaces");
    }
    for tenant in &report.tenants {
        let took = span_text(std::time::Duration::from_secs_f64(tenant.seconds));
        let _ = writeln!(out, "{}  ({took})", tenant.tenant);
        if let Some((manifest, facts)) = tenant.dump.as_ref().and_then(|m| m.dump().map(|f| (m, f))) {
            let stored = bytes_text(manifest.stored_bytes());
            line(&mut out, manifest, &format!("{} dumped, {stored} stored", bytes_text(facts.bytes)));
            for warning in &facts.warnings {
                let _ = writeln!(out, "    pg_dump warned: {warning}");
            }
            for file in facts.filestore.iter().flat_map(FilestoreLink::missing_named).take(20) {
                let _ = writeln!(out, "    missing: {file}");
            }
            for told in facts.filestore.iter().filter_map(|link| elsewhere::told(&link.elsewhere)) {
                let _ = writeln!(out, "    {told}");
            }
        }
        if let Some((manifest, facts)) = tenant.filestore.as_ref().and_then(|m| m.filestore().map(|f| (m, f)))
        {
            let stored = bytes_text(manifest.stored_bytes());
            let what = format!("{} files, {} new, {stored} stored", facts.files, facts.new_files);
            line(&mut out, manifest, &what);
            for problem in facts.problems.iter().take(20) {
                let _ = writeln!(out, "    problem: {problem}");
            }
        }
    }
    for tenant in &report.tenants {
        let Some(alarm) = &tenant.suspicious else { continue };
        let _ = writeln!(out, "SUSPICIOUS: {}: compared with the backup before:", tenant.tenant);
        for text in alarm.lines() {
            let _ = writeln!(out, "    {text}");
        }
        let _ = writeln!(out, "    next: {}", suspicion::next(&tenant.tenant));
    }
    for name in &report.excluded {
        let _ = writeln!(out, "excluded: {name}: odoo.exclude names it");
    }
    for copy in &report.left_out {
        let name = shell_word(&copy.database);
        let _ = writeln!(out, "left out: {}: {}", copy.database, copy.why);
        let _ = writeln!(
            out,
            "    back it up with odoo.tenants, or {}",
            runnable(&format!("lifeboat backup --tenant {name}"))
        );
    }
    for note in &report.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.trim_end().to_owned()
}

//! `lifeboat verify`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::identity::identities;
use super::past::PastArgs;
use super::trust::TrustArgs;
use super::{App, Done};
use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::manifest::SnapshotKind;
use crate::archive::seal::Identities;
use crate::catalog::held::Held;
use crate::catalog::last_verify::{DOUBTED_MAX, LastVerify};
use crate::catalog::state::StateDir;
use crate::catalog::verified::Verified;
use crate::clock;
use crate::config::{Config, units};
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName, bytes_text, counted};
use crate::repository::Repository;
use crate::repository::sealed_for::SealedFor;
use crate::repository::snapshots::Trust;
use crate::repository::tombstones::announcers;
use crate::upkeep::findings::Report;
use crate::upkeep::remembered::{self, remember};
use crate::upkeep::tombstones::KeptFor;
use crate::upkeep::verify::{self, VerifyRequest};

/// How many lines of each sort are printed.
const NAMED_MAX: usize = 25;

/// Check that what is stored is still what was signed
///
/// Reads every object and compares size and SHA-256 with the signed manifests. Finds objects that are
/// missing, damaged, exchanged or foreign, manifests that are not ours, missing snapshots that others need,
/// changed reports and evidence; with versions, also what was deleted or written again. Needs no identity.
/// With --deep and an identity, every file is also decoded and compared. Nothing is written into the
/// repository; this host remembers what was found, for `lifeboat status`.
///
/// Exit code 10: something is damaged (runbooks/damaged-repository.md). 6, 7 or 12: something could not be
/// read, so nothing is known of it. 5: nothing is there. 3: no damage, but read each `problem:` line: files
/// or WAL are missing, objects were deleted or written again, or have our names and no trusted signature.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat verify
  lifeboat verify --quick
  lifeboat verify --sample 5 --rate-limit 50MiB/s
  lifeboat verify --tenant retail_north --deep --identity id.txt
  lifeboat verify 20261120T015812Z-dump-4f3a9c1e --json")]
pub struct Args {
    /// Check only these, and what they need [default: all]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<SnapshotId>,
    /// Check only this tenant, and what it needs
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantName>,
    /// Read only so many percent of the objects, another choice each time. Of the others, check only that
    /// they exist and have the right size
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "deep")]
    sample: Option<f64>,
    /// Read no content: check names, sizes, versions, and what is small and signed
    #[arg(long, conflicts_with_all = ["deep", "sample"])]
    quick: bool,
    /// Read no faster than this, as in 50MiB/s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_limit: Option<u64>,
    /// Decode everything and compare every file; needs an identity
    #[arg(long)]
    deep: bool,
    /// The age identity, with --deep; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE", requires = "deep")]
    identity: Vec<PathBuf>,
    /// How many objects are read at once [default: restore.workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: Option<u8>,
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
}

fn percent(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.trim_end_matches('%').parse().ok();
    let value = value.filter(|p| *p > 0.0 && *p <= 100.0);
    value.ok_or_else(|| "it takes more than 0, at most 100; --quick reads no content".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    units::rate(text).filter(|rate| *rate > 0).ok_or_else(|| "it takes a rate such as 50MiB/s".to_owned())
}

/// The keys that verify evidence of checkpoints. Whoever verifies need not read the private one; where they
/// cannot be read, everything else is checked all the same.
fn evidence_keys(config: &Config) -> Option<TrustedEvidenceKeys> {
    let section = &config.checkpoint;
    let keys = match section.trusted_key_files.as_slice() {
        [] if section.key_file.is_none() => return None,
        [] => TrustedEvidenceKeys::configured(section),
        files => TrustedEvidenceKeys::load(files),
    };
    keys.map_err(|e| super::print::err(&format!("not checked: evidence of checkpoints: {}", e.line()))).ok()
}

/// Checks and says what was found.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let identities = match args.deep {
        false => None,
        true => {
            let identities = identities(&args.identity, &config)?;
            if identities.is_empty() {
                return Err(Error::new(Kind::Identity, "--deep needs an identity, and none is given")
                    .effect("nothing was checked")
                    .next("pass --identity FILE, set seal.identity_files, or check without --deep"));
            }
            Some(identities)
        }
    };
    let is_past = config.repository.as_of.is_some();
    // Only a check of everything says what a thief did.
    let is_whole = args.snapshots.is_empty() && args.tenant.is_none() && matches!(trust, Trust::Keys(_));
    let checked = check(args, app, &config, trust, identities).await;
    let report = match checked {
        Ok((report, id)) => {
            if !is_past {
                keep_for_status(&config, &id, &report, is_whole);
            }
            report
        }
        Err(e) => {
            if is_whole && !is_past && e.kind() != Kind::Interrupted {
                keep_last(&config, None, |last| last.failed = Some((clock::now(), e.line())));
            }
            return Err(e);
        }
    };
    app.print(&json(&report)?, || text(&report))?;
    // Its text is the end of the report: on standard output a --json reader has it in "verdict".
    match report.verdict() {
        Ok(()) => Ok(Done::Complete),
        Err(e) if app.json => {
            super::print::error(&e, false);
            Ok(Done::Failed(e.kind()))
        }
        Err(e) => Err(e),
    }
}

/// The report, and the repository's identifier.
async fn check(
    args: Args,
    app: &App,
    config: &Config,
    trust: Trust,
    identities: Option<Identities>,
) -> Result<(Report, String)> {
    let announcers = announcers(config)?;
    let repository = Repository::configured(config).await.map_err(|e| match e.kind() {
        Kind::Repository | Kind::Integrity => {
            e.context("cannot read lifeboat.json, the repository's own description")
        }
        _ => e,
    })?;
    let id = repository.id().to_owned();
    let request = VerifyRequest {
        // What this host stored since is not there yet.
        known: match config.repository.as_of {
            Some(_) => BTreeSet::new(),
            None => known(config, &id).await,
        },
        announcers,
        doubted: match config.repository.as_of {
            Some(_) => BTreeSet::new(),
            None => doubted(config, &id),
        },
        kept: KeptFor::configured(config),
        snapshots: args.snapshots,
        tenant: args.tenant,
        sample_percent: args.sample,
        quick: args.quick,
        bytes_per_second_max: args.rate_limit,
        identities,
        workers: args.workers.map_or(config.restore.workers, usize::from),
        trust,
        sealed_for: sealed_for(config),
        evidence_keys: evidence_keys(config),
    };
    let shown = app.progress("verify", None);
    let report = verify::run(repository, request, shown.clone(), app.cancel.clone()).await;
    shown.finish();
    Ok((report?, id))
}

/// For `lifeboat status` and metrics. A host without a state directory of its own may check, too.
fn keep_for_status(config: &Config, repository: &str, report: &Report, is_whole: bool) {
    let now = clock::now();
    let mut broken = None;
    let kept = Verified::update(&config.state_dir, &config.instance, repository, |verified| {
        remember(verified, report, now);
        broken = Some(remembered::count(verified));
    });
    if let Err(e) = kept {
        tracing::warn!("the findings were not recorded for lifeboat status: {e:?}");
    }
    keep_last(config, Some(repository), |last| {
        last.broken = broken.unwrap_or(last.broken);
        if let Some(doubted) = &report.doubted {
            last.doubted = doubted.iter().take(DOUBTED_MAX).cloned().collect();
        }
        if is_whole && !report.interrupted {
            (last.done, last.failed) = (Some(remembered::run(report, now)), None);
        }
    });
}

fn keep_last(config: &Config, repository: Option<&str>, change: impl FnOnce(&mut LastVerify)) {
    let file = LastVerify::file(&config.state_dir, &config.instance);
    if let Err(e) = LastVerify::change(&file, repository, change) {
        tracing::warn!("lifeboat status and the metrics will not show this check: {e:?}");
    }
}

/// For whom this host encrypts, to compare.
fn sealed_for(config: &Config) -> Option<SealedFor> {
    if config.seal.recipients.is_empty() && config.seal.recipients_file.is_none() {
        return None;
    }
    let told = |e: &Error| tracing::warn!("recipients of snapshots are not compared: {e:?}");
    SealedFor::load(config).inspect_err(told).ok()
}

/// The tombstones that an earlier check found doubtful.
fn doubted(config: &Config, repository: &str) -> BTreeSet<SnapshotId> {
    let file = LastVerify::file(&config.state_dir, &config.instance);
    let last = LastVerify::of(&file, repository).unwrap_or_else(|e| {
        tracing::warn!("what earlier checks found is not known: {e:?}");
        LastVerify::default()
    });
    last.doubted
}

/// The batches that this host knows of. One without a state directory may check, too.
async fn known(config: &Config, repository: &str) -> BTreeSet<SnapshotId> {
    let file = StateDir::held_file_of(&config.state_dir, &config.instance);
    let homes = Held::homes(&file, repository).await.unwrap_or_else(|e| {
        tracing::warn!("what this host stored of the filestores is not known: {e:?}");
        BTreeSet::new()
    });
    homes.into_iter().filter(|id| id.kind() == SnapshotKind::Arrivals.as_str()).collect()
}

fn json(report: &Report) -> Result<Value> {
    let mut value = serde_json::to_value(report)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the report").because(e))?;
    let unasked = report.unasked.iter().map(|unasked| {
        json!({ "object": unasked.object, "kind": unasked.error.kind().slug(), "error": unasked.error.what(),
            "causes": unasked.error.causes() })
    });
    value["unasked"] = unasked.collect();
    value["verdict"] = json!(report.verdict().err().map_or("ok", |e| e.kind().slug()));
    Ok(value)
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let bad = report.findings.iter().map(|f| format!("{}\n     {}\n     {}", f.object, f.what, f.effect()));
    tell(&mut out, "bad", bad);
    let unasked = report.unasked.iter().map(|unasked| {
        let mut why = vec![unasked.error.what().to_owned()];
        why.extend(unasked.error.causes());
        format!("{}\n     {}", unasked.object, why.join(": "))
    });
    let skipped = report.skipped.iter().map(|skipped| format!("{}\n     {}", skipped.object, skipped.why));
    tell(&mut out, "not checked", unasked.chain(skipped));
    let foreign = report.foreign.iter().map(|foreign| format!("{}\n     {}", foreign.object, foreign.why));
    tell(&mut out, "foreign", foreign);
    if report.foreign_more > 0 {
        let _ = writeln!(out, "foreign: {} more that are not listed here", report.foreign_more);
    }
    tell(&mut out, "warning", report.warnings.iter().cloned());
    tell(&mut out, "problem", report.problems.iter().cloned());
    tell(&mut out, "unfinished", report.unfinished.iter().map(|u| format!("{}: {}", u.id, u.what)));
    if report.verdict().is_err_and(|e| e.kind() != Kind::Incomplete) {
        for newest in &report.newest_whole {
            let what = newest.snapshot.as_ref().map_or("none", SnapshotId::as_str);
            let _ = writeln!(out, "newest undamaged dump of {}: {what}", newest.tenant);
        }
    }
    let not_read = format!(
        "{} ({})",
        counted(report.objects_not_checked, "object"),
        bytes_text(report.bytes_not_checked)
    );
    let snapshots = counted(report.snapshots, "snapshot");
    if report.quick {
        let _ = writeln!(
            out,
            "{snapshots}: manifests, signatures, names and sizes compared; no content was read"
        );
        let _ = writeln!(out, "not read: the content of {not_read}; lifeboat verify reads it");
        if report.covered.everything && !report.versions_checked {
            out.push_str(
                "not checked: whether objects were replaced by others of the same size (no versions could be read)\n",
            );
        }
        if report.verdict().is_ok() && report.skipped.is_empty() {
            out.push_str("nothing wrong was found; the content was not read\n");
        }
    } else {
        let (objects, bytes) = (counted(report.objects_checked, "object"), bytes_text(report.bytes_checked));
        let _ = write!(out, "{snapshots}: {objects}, {bytes}, read and compared");
        if report.deep {
            let _ = write!(out, "; {} decoded and compared", counted(report.files_checked, "file"));
        }
        out.push('\n');
        if report.objects_not_checked > 0 {
            let _ = writeln!(out, "not checked: {not_read} of the snapshots and of the WAL");
        }
        if report.verdict().is_ok() && report.objects_not_checked == 0 && report.skipped.is_empty() {
            out.push_str("all of it is as it was stored\n");
        }
    }
    if report.snapshots == 0 {
        out.push_str(
            "no snapshot is stored, and WAL alone cannot be restored: lifeboat backup --kind base\n",
        );
    }
    out
}

/// Lines that begin with `word`, and how many more there are.
fn tell(out: &mut String, word: &str, lines: impl Iterator<Item = String>) {
    let mut more = 0;
    for (place, line) in lines.enumerate() {
        match place < NAMED_MAX {
            true => drop(writeln!(out, "{word}: {line}")),
            false => more += 1,
        }
    }
    if more > 0 {
        let _ = writeln!(out, "{word}: {more} more (--json lists them)");
    }
}

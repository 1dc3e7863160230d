//! `lifeboat checkpoint`.

use std::path::PathBuf;
use std::time::Duration;

use super::ci::{self, Ci};
use super::screen::{Text, Tone};
use super::{App, Done, identity};
use crate::archive::evidence::gate::{Gate, GateResult, Outcome, Override};
use crate::archive::evidence::predicate::Release;
use crate::checkpoint::gates::AskedOverride;
use crate::checkpoint::{self, CheckpointReport, CheckpointRequest, RehearsalAsked, modules};
use crate::clock::{self, span_text};
use crate::config::{Config, units};
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, TenantName, bytes_text, counted};

/// Prove that a release can be undone, or block it
///
/// Stores every file that rows name, makes a named restore point, waits until its WAL is stored, captures the
/// configuration, checks the chain from the base backup to the point, and stores signed evidence. Nothing is
/// dumped, so it takes seconds.
///
/// With --rehearse it also restores one tenant to the point on a scratch server, and runs the checks of a
/// drill on it. That takes as long as a restore, and needs an identity.
///
/// A second call for the same release returns the same record. If a call was interrupted, run it again.
///
/// Exit code 0: the release may go on. Exit code 19: a gate blocks it; the output says which, and why. What
/// could not be checked blocks, too.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat checkpoint --release 2026.11.20 --commit 4f3a9c1 --approved-by anna \\
      --modules addons/
  lifeboat checkpoint --release 2026.11.20 --cohort wave1 --approved-by anna \\
      --image $IMAGE_DIGEST --modules addons/
  # also restore the smallest tenant to the point, and check it
  lifeboat checkpoint --release 2026.11.20 --approved-by anna \\
      --modules addons/ --rehearse --identity id.txt
  # check the gates, make and store nothing
  lifeboat checkpoint --release 2026.11.20 --dry-run
  # an urgent correction in a freeze window
  lifeboat checkpoint --release 2026.11.20-fix1 --tier emergency \\
      --approved-by anna --migration-approved-by jonas \\
      --override freeze --reason 'payments fail' --by anna")]
pub struct Args {
    /// The release [default: $LIFEBOAT_RELEASE, then backup.release_file]
    #[arg(long, value_name = "ID")]
    release: Option<ReleaseId>,
    /// Cover only this tenant; may be repeated [default: odoo.tenants, or all that are found]
    #[arg(long, value_name = "NAME", conflicts_with = "cohort")]
    tenant: Vec<TenantName>,
    /// Cover the tenants of this cohort
    #[arg(long, value_name = "NAME")]
    cohort: Option<String>,
    /// The commit that is released
    #[arg(long, value_name = "HEX")]
    commit: Option<String>,
    /// The digest of the image that is released
    #[arg(long, value_name = "sha256:HEX")]
    image: Option<String>,
    /// The tier of the release [default: checkpoint.tier]
    #[arg(long, value_name = "NAME")]
    tier: Option<String>,
    /// Who approved the release; may be repeated
    #[arg(long, value_name = "NAME")]
    approved_by: Vec<String>,
    /// Who approved its migration; may be repeated
    #[arg(long, value_name = "NAME")]
    migration_approved_by: Vec<String>,
    /// The change ticket
    #[arg(long, value_name = "TEXT")]
    ticket: Option<String>,
    /// The release's module versions: a JSON object, or a folder of addons
    #[arg(long, value_name = "PATH")]
    modules: Option<PathBuf>,
    /// Store this file or folder with the configuration; may be repeated
    #[arg(long, value_name = "PATH")]
    attach: Vec<PathBuf>,
    /// Let this gate pass although it fails, if the tier allows that; may be repeated
    #[arg(long = "override", value_name = "GATE", requires_all = ["reason", "by"])]
    overrides: Vec<String>,
    /// Why it is overridden; it stays in the evidence
    #[arg(long, value_name = "TEXT", requires = "overrides")]
    reason: Option<String>,
    /// Who overrides it
    #[arg(long, value_name = "NAME", requires = "overrides")]
    by: Option<String>,
    /// How long it may take, such as 90s [default: checkpoint.timeout]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Take dumps instead of a restore point [default: where there is no physical backup]
    #[arg(long, conflicts_with = "dry_run")]
    dump: bool,
    /// Also restore a tenant to the point and check it [default: the smallest]
    #[arg(long, value_name = "TENANT", num_args = 0..=1)]
    rehearse: Option<Option<TenantName>>,
    /// The age identity for --rehearse; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE", requires = "rehearse", hide_short_help = true)]
    identity: Vec<PathBuf>,
    /// Check the gates; make and store nothing
    #[arg(long)]
    dry_run: bool,
    /// Also report to the runner of this pipeline [default: recognized from the environment]
    #[arg(long, value_enum, value_name = "SYSTEM")]
    ci: Option<Ci>,
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    let milliseconds = units::duration(text).filter(|ms| *ms > 0);
    milliseconds.map(Duration::from_millis).ok_or_else(|| "it takes a duration such as \"90s\"".to_owned())
}

/// Makes it, or gives the one that exists, and tells the pipeline's runner.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let ci = args.ci.map_or_else(|| Ci::recognized(&app.inputs), Ok)?;
    let dry_run = args.dry_run;
    let report = match decided(args, app).await {
        Ok(report) => report,
        Err(e) => {
            ci::failed(ci, app, &e);
            return Err(e);
        }
    };
    ci::report(ci, app, &report, dry_run, text(&report, dry_run))?;
    match report.blocking().next() {
        Some(_) => Ok(Done::Failed(Kind::Blocked)),
        None => Ok(Done::Complete),
    }
}

async fn decided(args: Args, app: &App) -> Result<CheckpointReport> {
    let config = app.config()?;
    let release = match args.release {
        Some(release) => release,
        None => super::backup::release(app, config.backup.release_file.as_deref())?.ok_or_else(|| {
            Error::new(Kind::Usage, "a checkpoint needs the ID of its release").next("give it: --release ID")
        })?,
    };
    let mut overrides = Vec::new();
    for word in &args.overrides {
        let gate = Gate::find(word).ok_or_else(|| {
            let known: Vec<&str> = Gate::ALL.iter().map(|gate| gate.as_str()).collect();
            Error::new(Kind::Usage, format!("there is no gate {word:?}"))
                .next(format!("known gates: {}", known.join(", ")))
        })?;
        let (by, reason) = (args.by.clone().unwrap_or_default(), args.reason.clone().unwrap_or_default());
        if by.trim().is_empty() || reason.trim().is_empty() {
            return Err(Error::new(Kind::Usage, "an override needs a reason and a name (--reason, --by)"));
        }
        overrides.push(AskedOverride { gate, by: Override { by, reason } });
    }
    let request = CheckpointRequest {
        release: Release {
            id: release,
            commit: args.commit.map(commit).transpose()?,
            image: args.image.map(image).transpose()?,
            tier: args.tier.unwrap_or_else(|| config.checkpoint.tier.clone()),
            approved_by: args.approved_by,
            migration_approved_by: args.migration_approved_by,
            ticket: args.ticket,
            migrates: None,
        },
        tenants: args.tenant,
        cohort: args.cohort,
        timeout: args.timeout,
        dump: args.dump,
        dry_run: args.dry_run,
        modules: args.modules.as_deref().map(modules::read).transpose()?,
        attach: args.attach,
        overrides,
        rehearse: args.rehearse.map(|tenant| rehearsal(tenant, &args.identity, &config)).transpose()?,
    };
    let shown = app.progress("checkpoint", None);
    let report = checkpoint::run(&config, request, shown.clone(), app.cancel.clone()).await;
    shown.finish();
    report
}

fn rehearsal(tenant: Option<TenantName>, flags: &[PathBuf], config: &Config) -> Result<RehearsalAsked> {
    let files = identity::unattended(flags, config)?;
    if files.is_empty() {
        return Err(Error::new(
            Kind::Identity,
            "a rehearsal decrypts a backup, and there is no identity here",
        )
        .effect("nothing was made or stored, and the release is blocked")
        .next(
            "run this on a host that has the identity (--identity FILE, or seal.identity_files), or \
                 without --rehearse",
        ));
    }
    let absolute = |file: PathBuf| std::path::absolute(&file).map_err(|e| Error::file("find", &file, e));
    let identity_files = files.into_iter().map(absolute).collect::<Result<_>>()?;
    Ok(RehearsalAsked { tenant, identity_files })
}

fn commit(text: String) -> Result<String> {
    let fits = (7..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match fits {
        true => Ok(text),
        false => {
            Err(Error::new(Kind::Usage, format!("--commit {text:?} is not 7 to 64 lower-case hex digits")))
        }
    }
}

fn image(text: String) -> Result<String> {
    let digest = text.strip_prefix("sha256:").unwrap_or_default();
    let fits = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match fits {
        true => Ok(text),
        false => Err(Error::new(
            Kind::Usage,
            format!("--image {text:?} is not sha256: and 64 lower-case hex digits"),
        )
        .next("give the digest of the image, not its tag")),
    }
}

/// Where the values begin.
const VALUE: usize = 12;

fn text(report: &CheckpointReport, dry_run: bool) -> Text {
    let checkpoint = &report.checkpoint;
    let release = &checkpoint.release.id;
    let blocking: Vec<&GateResult> = report.blocking().collect();
    let mut text = Text::default();
    let took = span_text(Duration::from_secs_f64(report.seconds));
    match (blocking.is_empty(), dry_run, report.existed) {
        (false, ..) => {
            let gates: Vec<&str> = blocking.iter().map(|gate| gate.gate.as_str()).collect();
            let what = if gates.len() == 1 { "gate" } else { "gates" };
            text.line(0)
                .push(Tone::Bad, "BLOCKED")
                .plain(format!(" release {release}: {what} {}  ({took})", gates.join(", ")));
        }
        (true, true, _) => {
            text.add(format!("release {release}: no gate that was checked blocks it  ({took})"))
        }
        (true, false, true) => {
            text.add(format!("release {release} already has a checkpoint, and may go on  ({took})"))
        }
        (true, false, false) => text.add(format!("release {release} may go on  ({took})")),
    }
    if let Some(point) = &checkpoint.point {
        let at = format!("{}, timeline {}, {}", point.lsn, point.timeline, clock::text(point.time));
        text.line(VALUE).plain(format!("{:VALUE$}{}", "  point", point.name));
        text.line(VALUE).plain(format!("{:VALUE$}{at}", ""));
    }
    if let Some(base) = &checkpoint.base {
        let wal = bytes_text(base.wal_bytes);
        let id = base.chain.last().map_or("", |one| one.id.as_str());
        text.line(VALUE).plain(format!("{:VALUE$}{id}, then {wal} of WAL", "  from"));
    }
    let tenants = checkpoint.scope.tenants.len();
    let names: Vec<&str> = checkpoint.scope.tenants.iter().map(TenantName::as_str).take(10).collect();
    let more = if tenants > names.len() { ", …" } else { "" };
    let tenants = counted(tenants, "tenant");
    text.line(VALUE).plain(format!("{:VALUE$}{tenants}: {}{more}", "  tenants", names.join(", ")));
    for gate in &checkpoint.gates {
        gate_line(&mut text, gate);
    }
    if let Some(key) = &report.stored {
        text.line(VALUE).plain(format!("{:VALUE$}{key}", "  evidence"));
    }
    for note in &report.notes {
        text.line(VALUE).plain(format!("{:VALUE$}{note}", "  note"));
    }
    if !blocking.is_empty() && !dry_run {
        text.line(2).plain(
            "  no evidence was stored; correct the cause (runbooks/checkpoint-blocked.md), then run the same \
             command again",
        );
    }
    text
}

fn gate_line(text: &mut Text, gate: &GateResult) {
    let (word, tone) = match (gate.outcome, &gate.overridden) {
        (Outcome::Passed, _) => ("ok", None),
        (Outcome::NotRequired, _) => ("-", None),
        (_, Some(_)) => ("OVERRIDDEN", Some(Tone::Bad)),
        (Outcome::Failed, None) => ("FAILED", Some(Tone::Bad)),
        (Outcome::Unknown, None) => ("UNKNOWN", Some(Tone::Bad)),
    };
    let indent = VALUE + 12;
    let line = text.line(indent).plain(format!("  {:10}", gate.gate.as_str()));
    let line = match tone {
        Some(tone) => line.push(tone, format!("{word:12}")),
        None => line.plain(format!("{word:12}")),
    };
    line.plain(gate.found.clone());
    if let Some(by) = &gate.overridden {
        text.line(indent).plain(format!("{:indent$}by {}: {}", "", by.by, by.reason));
    }
}

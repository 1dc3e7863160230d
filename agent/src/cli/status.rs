//! `lifeboat status`.

use std::time::Duration;

use serde_json::json;

use super::commands::runnable;
use super::table::table;
use super::trust::TrustArgs;
use super::{App, Done, print};
use crate::archive::elsewhere;
use crate::catalog::copies::Copies;
use crate::catalog::doubt::Doubt;
use crate::catalog::runs::{Run, Runs};
use crate::catalog::state::StateDir;
use crate::clock;
use crate::config::{Config, units};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::standing::{self, InstanceStatus, Latest, Standing, TenantStatus};
use crate::inventory::take::Wanted;
use crate::inventory::{Inventory, Part, pick};
use crate::repository::Repository;
use crate::upkeep::remembered;
use crate::wal::stream::Record;

/// Show how each tenant stands: what would be lost if it were gone now, the worst first
///
/// Needs no identity and no PostgreSQL: it reads what is stored, and this host's record of scheduled
/// runs. A tenant is known by its snapshots or by odoo.tenants. Exit code 3 if a tenant does not
/// stand ok (BROKEN: the last `lifeboat verify` of this host found its newest dump damaged), if WAL
/// after the newest base backup has a gap, if a manifest is not trusted, if objects without a trusted
/// signature lie among the WAL, or if this host's agent has stopped, stores no WAL, or keeps so much WAL on the server that its disk may fill.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat status
  lifeboat status --max-age 2h --json")]
pub struct Args {
    /// How old the newest restorable state of a tenant may be
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "26h")]
    max_age: Duration,
    #[command(flatten)]
    trust: TrustArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = units::duration(text).map(Duration::from_millis);
    parsed.ok_or_else(|| "it takes a duration such as 90min, 26h or 2d".to_owned())
}

/// Shows it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let repository = Repository::configured(&config).await?;
    let wanted = Wanted { wal: true, ..Wanted::default() };
    let inventory = Inventory::take(&repository, &trust, &wanted).await?;
    let not_believed = inventory.not_believed();
    let now = clock::now();
    let (verified, unknown) = remembered::recall(&config, &repository);
    let broken = remembered::broken(&inventory, &verified);
    let instance = standing::instance(&inventory, &broken, now)?;
    let mut tenants =
        standing::tenants(&inventory, &config.odoo.tenants, &instance, &broken, (now, args.max_age));
    let copies = Copies::read(&config.state_dir, &config.instance)?;
    let mut promoted = Vec::new();
    tenants.retain(|TenantStatus { tenant, dump, filestore, .. }| {
        let stored_last = [dump, filestore].into_iter().flatten().map(|latest| latest.point).max();
        let record = stored_last.and_then(|last| copies.promoted(tenant, last));
        promoted.extend(record.cloned());
        record.is_none() || config.odoo.tenants.contains(tenant)
    });
    let runs = last_runs(&config).await?;
    let stream = if config.wal.stream { Record::read(&config)? } else { None };
    let mut problems = stream.as_ref().map_or(Vec::new(), |record| record.problems(&config, now));
    problems.extend(unknown);
    match &inventory.wal {
        Part::CouldNotLook(e) => problems.push(format!("what WAL is stored is not known: {}", e.what())),
        Part::Found(wal) => {
            problems.extend(wal.foreign.text().map(|text| format!("{text}; lifeboat verify names all")));
        }
        Part::NotAsked => {}
    }
    problems.extend(clock_problem(&inventory));
    problems.extend(doubt_problem(&config));
    problems.extend(verified.wal.as_ref().map(|wal| {
        let (objects, since) = (wal.objects, clock::text(wal.since));
        format!(
            "WAL objects are damaged: {objects}, found {since}, the first is {}; run lifeboat verify",
            wal.first
        )
    }));
    let bad = not_believed.iter().map(|(id, e)| json!({ "snapshot": id, "error": e.what() }));
    let value = json!({
        "instance": repository.instance(),
        "repository": repository.store().url(),
        "now": now,
        "cluster": instance,
        "tenants": tenants,
        "promoted": promoted,
        "verified": { "last": verified.last, "broken": broken, "wal": verified.wal },
        "runs": runs,
        "stream": stream,
        "problems": problems,
        "not_believed": bad.collect::<Vec<_>>(),
    });
    app.print(&value, || {
        let promoted = promoted.iter().map(|record| format!("{} is {}\n", record.database, record.why()));
        let told = problems.iter().map(|problem| format!("problem: {}\n", runnable(problem)));
        let told: String = promoted.chain(told).collect();
        text(&repository, &instance, &tenants, &runs) + &told
    })?;
    for (id, e) in &not_believed {
        print::err(&format!("ignored: {id}: {}", e.what()));
    }
    let well = tenants.iter().all(|tenant| tenant.standing == Standing::Ok)
        && instance.bad_pages == 0
        && instance.left_out.is_empty()
        && !instance.base_broken
        && instance.wal.as_ref().is_none_or(|wal| wal.broken.is_none())
        && not_believed.is_empty()
        && runs.iter().all(|run| run.ended.is_none() || run.exit_code == Some(0))
        && problems.is_empty();
    if tenants.is_empty() && instance.base.is_none() {
        return Err(Error::new(
            Kind::NotFound,
            format!("nothing is stored for instance {}", repository.instance()),
        )
        .next("lifeboat backup"));
    }
    Ok(if well { Done::Complete } else { Done::Incomplete })
}

/// A file that was not as its times said, in a sentence.
fn doubt_problem(config: &Config) -> Option<String> {
    match Doubt::read(&StateDir::doubt_file_of(&config.state_dir, &config.instance)) {
        Ok(doubt) => doubt.map(|doubt| {
            format!(
                "{}: incremental base backups before that may hold an older content of it; look for errors of that \
                disk, then run lifeboat backup --kind base --full",
                doubt.text()
            )
        }),
        Err(e) => Some(format!("whether base backups trust the times of files is not known: {}", e.what())),
    }
}

/// Snapshots that were written under a clock that was ahead, in a sentence.
fn clock_problem(inventory: &Inventory) -> Option<String> {
    let (ahead, _) = pick::clocks(inventory.believed());
    let last = ahead.first()?;
    Some(format!(
        "{} snapshots were written while their host's clock was ahead of the store's; the last of them is {}, {}; correct that host's clock",
        ahead.len(),
        last.manifest.id,
        last.clock_note()?
    ))
}

/// The latest run of each scheduled job of this host; none where the agent never ran here.
async fn last_runs(config: &Config) -> Result<Vec<Run>> {
    let file = StateDir::runs_file_of(&config.state_dir, &config.instance);
    if disk::metadata(&file)?.is_none() {
        return Ok(Vec::new());
    }
    let mut runs = Runs::open(&file).await?;
    let mut all = Vec::new();
    for job in runs.jobs().await? {
        all.extend(runs.latest(&job, 1).await?);
    }
    runs.close().await?;
    Ok(all)
}

fn text(
    repository: &Repository,
    instance: &InstanceStatus,
    tenants: &[TenantStatus],
    runs: &[Run],
) -> String {
    let mut out = format!("instance {} in {}\n", repository.instance(), repository.store().url());
    if let Some(base) = &instance.base {
        let mut bad = String::new();
        if instance.bad_pages > 0 {
            bad += &format!("; {} BAD PAGES", instance.bad_pages);
        }
        if !instance.left_out.is_empty() {
            bad += &format!("; MISSING IN IT: {}", instance.left_out.join(", "));
        }
        if instance.base_broken {
            bad += "; BROKEN, lifeboat verify says where";
        }
        out += &format!("base backup  {} ago, {}{bad}\n", ago(base.age_seconds), base.snapshot);
    }
    if let Some(wal) = &instance.wal {
        out += &format!(
            "WAL          up to {} on timeline {}, stored {} ago\n",
            wal.end,
            wal.timeline,
            ago(wal.age_seconds)
        );
        if let Some(why) = &wal.broken {
            out += &format!("             BROKEN: {why}\n");
        }
    }
    for run in runs {
        let how = match (run.ended, run.exit_code) {
            (None, _) => "running".to_owned(),
            (Some(_), Some(0)) => "done".to_owned(),
            (Some(_), Some(3)) => "INCOMPLETE (exit code 3)".to_owned(),
            (Some(_), Some(code)) => format!("FAILED with exit code {code}"),
            (Some(_), None) => "FAILED: ended by a signal".to_owned(),
        };
        out += &format!("last {:<12} {how}, began {}\n", run.job, clock::text(run.began));
    }
    let head = ["TENANT", "STANDS", "LOST IF GONE NOW", "LAST DUMP", "LAST FILESTORE", "RELEASE"];
    let mut rows = vec![head.map(str::to_owned)];
    let when = |latest: &Option<Latest>| latest.as_ref().map_or("-".to_owned(), |l| clock::text(l.point));
    for tenant in tenants {
        let release = tenant.dump.as_ref().and_then(|dump| dump.release.as_ref());
        rows.push([
            tenant.tenant.to_string(),
            match tenant.standing {
                Standing::Ok => "ok".to_owned(),
                Standing::Incomplete => format!("{} FILES MISSING", tenant.missing_files),
                Standing::Late => "LATE".to_owned(),
                Standing::Broken => "BROKEN".to_owned(),
                Standing::Never => "NEVER BACKED UP".to_owned(),
            },
            tenant.rpo_seconds.map_or("everything".to_owned(), ago),
            when(&tenant.dump),
            when(&tenant.filestore),
            release.map_or("-".to_owned(), ToString::to_string),
        ]);
    }
    out += &table(&rows);
    for tenant in tenants {
        if let Some(told) = elsewhere::told(&tenant.elsewhere) {
            out += &format!("{}: {told}\n", tenant.tenant);
        }
    }
    out
}

fn ago(seconds: u64) -> String {
    if seconds == 0 {
        return "0 s".to_owned();
    }
    clock::span_text(Duration::from_secs(seconds))
}

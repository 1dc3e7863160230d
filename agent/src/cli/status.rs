//! `lifeboat status`.

use std::time::Duration;

use super::commands::runnable;
use super::table::table;
use super::trust::TrustArgs;
use super::{App, Done, print};
use crate::archive::elsewhere;
use crate::clock;
use crate::config::units;
use crate::error::{Error, Kind, Result};
use crate::inventory::standing::{Latest, Standing};
use crate::status::Status;

/// Show what each tenant would lose if it failed now, worst first
///
/// Needs no identity and no PostgreSQL: it reads what is stored, and this host's record of scheduled runs.
/// A tenant is known by its snapshots or by odoo.tenants.
///
/// Exit code 3: a tenant is not ok (BROKEN: the last `lifeboat verify` of this host found its newest dump
/// damaged); WAL after the newest base backup has a gap; a manifest is not trusted; objects without a trusted
/// signature lie among the WAL; or this host's agent has stopped, stores no WAL, or keeps so much WAL on the
/// server that its disk may fill.
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
    let status = Status::take(&config, &args.trust.trust(&config)?, args.max_age).await?;
    app.print(&status, || text(&status))?;
    for ignored in &status.not_believed {
        print::err(&format!("ignored: {}: {}", ignored.snapshot, ignored.error));
    }
    if status.is_empty() {
        let what = format!("nothing is stored for instance {}", status.instance);
        return Err(Error::new(Kind::NotFound, what).next("lifeboat backup"));
    }
    Ok(if status.is_well() { Done::Complete } else { Done::Incomplete })
}

fn text(status: &Status) -> String {
    let instance = &status.cluster;
    let mut out = format!("instance {} in {}\n", status.instance, status.repository);
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
    for run in &status.runs {
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
    for tenant in &status.tenants {
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
    for tenant in &status.tenants {
        if let Some(told) = elsewhere::told(&tenant.elsewhere) {
            out += &format!("{}: {told}\n", tenant.tenant);
        }
    }
    for record in &status.promoted {
        out += &format!("{} is {}\n", record.database, record.why());
    }
    for problem in &status.problems {
        out += &format!("problem: {}\n", runnable(problem));
    }
    out
}

fn ago(seconds: u64) -> String {
    if seconds == 0 {
        return "0 s".to_owned();
    }
    clock::span_text(Duration::from_secs(seconds))
}

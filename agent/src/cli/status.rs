//! `lifeboat status`.

use std::time::Duration;

use super::commands::runnable;
use super::screen::{Text, Tone};
use super::table::{Cell, WIDTH, table};
use super::trust::TrustArgs;
use super::{App, Done, print, suspicion};
use crate::archive::elsewhere;
use crate::clock;
use crate::config::units;
use crate::error::{Error, Kind, Result};
use crate::inventory::standing::{Latest, Standing, TenantStatus};
use crate::names::counted;
use crate::status::Status;

/// Show what each tenant would lose if it failed now, worst first
///
/// Needs no identity and no PostgreSQL: it reads what is stored, and this host's record of scheduled runs.
/// A tenant is known by its snapshots or by odoo.tenants.
///
/// Exit code 3: a tenant is not ok (BROKEN: the last `lifeboat verify` of this host found its newest dump
/// damaged); the last check of everything by this host, of the agent's schedule.verify or by hand, found
/// something, failed, or is overdue; the newest restore drill of a tenant did not pass, or the drills of a
/// class are overdue; a backup of this host is suspicious, and nobody accepted it; WAL after
/// the newest base backup has a gap; a manifest is not trusted; objects without a trusted signature lie among
/// the WAL; or this host's agent has stopped, stores no WAL, or keeps so much WAL on the server that its disk
/// may fill.
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

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = units::duration(text).map(Duration::from_millis);
    parsed.ok_or_else(|| "it takes a duration such as 90min, 26h or 2d".to_owned())
}

/// Shows it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let status = Status::take(&config, &args.trust.trust(&config)?, args.max_age).await?;
    let width = print::out_width().unwrap_or(WIDTH);
    app.print(&status, || text(&status, width))?;
    for ignored in status.not_believed.iter().take(IGNORED_MAX) {
        print::err(&format!("ignored: {}: {}", ignored.snapshot, ignored.error));
    }
    if let more @ 1.. = status.not_believed.len().saturating_sub(IGNORED_MAX) {
        print::err(&format!("ignored: {more} more; lifeboat verify names all"));
    }
    if status.is_empty() && !status.not_believed.is_empty() {
        let what = format!(
            "instance {} has {}, and none of them is accepted",
            status.instance,
            counted(status.not_believed.len() as u64, "snapshot")
        );
        return Err(Error::new(Kind::NotFound, what)
            .effect("nothing can be restored until this is corrected; the backups themselves may be undamaged")
            .next("lifeboat verify says why: runbooks/damaged-repository.md; take no backup before it is corrected"));
    }
    if status.is_empty() {
        let what = format!("nothing is stored for instance {}", status.instance);
        return Err(Error::new(Kind::NotFound, what).next("lifeboat backup"));
    }
    Ok(if status.is_well() { Done::Complete } else { Done::Incomplete })
}

/// How many snapshots that are not accepted are named.
const IGNORED_MAX: usize = 3;
/// Where the values of the lines above the table begin.
const VALUE: usize = 13;
/// How far the lines below the table are indented after a line break.
const INDENT: usize = 2;

fn text(status: &Status, width: usize) -> Text {
    let mut text = Text::from(format!("instance {} in {}", status.instance, status.repository));
    instance_lines(&mut text, status);
    for run in &status.runs {
        let (tone, how) = match (run.ended, run.exit_code) {
            (None, _) => (Tone::Plain, "running".to_owned()),
            (Some(_), Some(0)) => (Tone::Plain, "done".to_owned()),
            (Some(_), Some(3)) => (Tone::Warning, "INCOMPLETE (exit code 3)".to_owned()),
            (Some(_), Some(code)) => (Tone::Bad, format!("FAILED with exit code {code}")),
            (Some(_), None) => (Tone::Bad, "FAILED: ended by a signal".to_owned()),
        };
        let line = text.line(VALUE);
        line.plain(format!("last run     {}: ", run.job)).push(tone, how);
        line.plain(format!(", began {}", clock::text(run.began)));
    }
    if let Some(line) = status.expire.line() {
        text.line(VALUE).plain(format!("last expiry  {line}"));
    }
    if let Some(line) = status.verify.line() {
        text.line(VALUE).plain(format!("last verify  {line}"));
    }
    if let Some(drill) = status.drills.first() {
        let tone = if drill.verdict == "passed" { Tone::Plain } else { Tone::Bad };
        let line = text.line(VALUE);
        line.plain(format!("last drill   {}: ", drill.tenant)).push(tone, &drill.verdict);
        line.plain(format!(", {}", clock::text(drill.time())));
    }
    if !status.tenants.is_empty() {
        text.line(0);
        tenant_lines(&mut text, status, width);
    }
    for tenant in &status.tenants {
        if tenant.standing == Standing::Broken {
            let why = "the newest backup is damaged; lifeboat verify names it, and the newest that is not";
            text.line(INDENT).plain(format!("{}: {why}", tenant.tenant));
        }
        if let Some(told) = elsewhere::told(&tenant.elsewhere) {
            text.line(INDENT).plain(format!("{}: {told}", tenant.tenant));
        }
    }
    for one in &status.suspicious {
        for alarm in &one.alarms {
            let line = text.line(INDENT);
            line.plain(format!("{}: ", one.tenant)).push(Tone::Bad, "SUSPICIOUS");
            line.plain(format!(" backup of {}, compared with the one before:", clock::text(alarm.found_at)));
            for found in alarm.lines() {
                text.line(2 * INDENT).plain(format!("{:INDENT$}{found}", ""));
            }
        }
        text.line(2 * INDENT).plain(format!("{:INDENT$}next: {}", "", suspicion::next(&one.tenant)));
    }
    for record in &status.promoted {
        text.line(INDENT).plain(format!("{} is {}", record.database, record.why()));
    }
    for problem in &status.problems {
        text.add(format!("problem: {}", runnable(problem)));
    }
    text
}

fn instance_lines(text: &mut Text, status: &Status) {
    let instance = &status.cluster;
    if let Some(base) = &instance.base {
        let line = text.line(VALUE);
        line.plain(format!("base backup  {} ago, {}", ago(base.age_seconds), base.snapshot));
        if instance.bad_pages > 0 {
            line.plain("; ").push(Tone::Bad, format!("{} BAD PAGES", instance.bad_pages));
        }
        if !instance.left_out.is_empty() {
            line.plain("; ").push(Tone::Bad, format!("MISSING IN IT: {}", instance.left_out.join(", ")));
        }
        if instance.base_broken {
            line.plain("; ").push(Tone::Bad, "BROKEN").plain(", lifeboat verify says where");
        }
    }
    if let Some(wal) = &instance.wal {
        let (end, timeline, age) = (wal.end, wal.timeline, ago(wal.age_seconds));
        let line = text.line(VALUE);
        line.plain(format!("WAL          up to {end} on timeline {timeline}, stored {age} ago"));
        if let Some(why) = &wal.broken {
            text.line(VALUE).plain(" ".repeat(VALUE)).push(Tone::Bad, "BROKEN").plain(format!(": {why}"));
        }
    }
}

/// A row for each tenant. Releases get lines of their own where the column does not fit.
fn tenant_lines(text: &mut Text, status: &Status, width: usize) {
    let release = |tenant: &TenantStatus| tenant.dump.as_ref()?.release.as_ref().map(ToString::to_string);
    let head = ["TENANT", "STATE", "WOULD LOSE", "LAST DUMP (UTC)", "LAST FILES (UTC)"].map(Cell::from);
    let mut rows = vec![head];
    rows.extend(status.tenants.iter().map(row));
    let with_release = rows.iter().enumerate().map(|(place, row)| {
        let release = match place {
            0 => Some("RELEASE".to_owned()),
            place => release(&status.tenants[place - 1]),
        };
        let [tenant, stands, loses, dump, files] = row.clone();
        [tenant, stands, loses, dump, files, release.unwrap_or("-".to_owned()).into()]
    });
    let wide = table(&with_release.collect::<Vec<_>>(), width);
    if wide.len() == rows.len() && wide.iter().all(|line| line.width() <= width) {
        return text.extend(wide);
    }
    text.extend(table(&rows, width));
    for tenant in &status.tenants {
        if let Some(release) = release(tenant) {
            text.line(INDENT).plain(format!("{}: release {release}", tenant.tenant));
        }
    }
}

fn row(tenant: &TenantStatus) -> [Cell; 5] {
    let (tone, stands) = match tenant.standing {
        Standing::Ok => (Tone::Plain, "ok".to_owned()),
        Standing::Incomplete => (Tone::Bad, format!("{} FILES MISSING", tenant.missing_files)),
        Standing::Late => (Tone::Warning, "LATE".to_owned()),
        Standing::Broken => (Tone::Bad, "BROKEN".to_owned()),
        Standing::Never => (Tone::Bad, "NEVER BACKED UP".to_owned()),
    };
    let loses = match tenant.rpo_seconds {
        Some(seconds) => ago(seconds).into(),
        None => Cell(Tone::Bad, "everything".to_owned()),
    };
    let when = |latest: &Option<Latest>| {
        latest.as_ref().map_or("-".to_owned(), |l| l.point.strftime("%Y-%m-%d %H:%M").to_string())
    };
    let name = tenant.tenant.to_string();
    [name.into(), Cell(tone, stands), loses, when(&tenant.dump).into(), when(&tenant.filestore).into()]
}

fn ago(seconds: u64) -> String {
    if seconds == 0 {
        return "0 s".to_owned();
    }
    clock::span_text(Duration::from_secs(seconds))
}

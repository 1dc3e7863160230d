//! `restore-drill list`, `show`, `compare` and `report`: what is stored of earlier drills. They read what
//! others may have written: see [`crate::history`].

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use futures::StreamExt;
use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill::{BYTES_MAX, HTML, JSON, JUNIT, MARKDOWN};
use lifeboat::clock;
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result, shown};
use lifeboat::names::{TenantName, counted};
use lifeboat::program::wrap::{columns, wrapped};
use lifeboat::repository::layout;
use serde_json::json;

use crate::history::{self, LOOKED_MAX, Stored};
use crate::report::compare::{Way, compare};
use crate::report::verdict::{Measure, Verdict, span};
use crate::report::{Report, html, junit, markdown};
use crate::say;
use crate::vault::Vault;

const LATEST: &str = "latest";

#[derive(Args)]
pub(crate) struct Place {
    /// The configuration, with the repository
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    async fn open(&self) -> Result<Vault> {
        Vault::open(self.config.as_deref().unwrap_or(Path::new(""))).await
    }
}

#[derive(Args)]
pub(crate) struct List {
    /// Only drills of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantName>,
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The drill, as `list` shows it; or `latest`
    #[arg(value_name = "ID")]
    drill: String,
    #[command(flatten)]
    place: Place,
    /// The whole report, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// The earlier drill
    #[arg(value_name = "ID")]
    before: String,
    /// The later drill; or `latest`
    #[arg(value_name = "ID")]
    after: String,
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Export {
    /// The drill, as `list` shows it; or `latest`
    #[arg(value_name = "ID")]
    drill: String,
    /// Which file of the report
    #[arg(long, value_enum)]
    format: Format,
    /// Write it to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// A file of a report.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// One page for a browser or a printer
    Html,
    /// Markdown
    Md,
    /// For programs that show test results
    Junit,
    /// The signed in-toto Statement, byte for byte
    Json,
}

/// A drill as somebody typed it: its name, the eight digits at its end, or `latest`.
async fn named(vault: &Vault, typed: &str) -> Result<Stored> {
    if typed.contains("-drill-") {
        return history::read(vault, typed).await;
    }
    let names = history::names(vault).await?;
    let fits = |name: &&String| typed == LATEST || name.rsplit('-').next() == Some(typed);
    match names.iter().find(fits) {
        Some(name) => history::read(vault, name).await,
        None => Err(Error::new(Kind::NotFound, format!("no drill {typed:?} is stored"))
            .next("restore-drill list shows their names")),
    }
}

fn print(text: &str) -> Result<()> {
    say::answer(text).map_err(|e| Error::new(Kind::Io, "cannot write to standard output").because(e))
}

/// A line of an answer: nothing in it acts on a terminal.
fn push(out: &mut String, indent: usize, line: &str) {
    let line = shown::printable(line);
    out.push_str(&wrapped(&line, indent, Some(columns(std::io::stdout()).unwrap_or(80))));
    out.push('\n');
}

/// Prints the newest drills.
pub(crate) async fn list(arguments: List) -> Result<()> {
    let vault = arguments.place.open().await?;
    let names = history::names(&vault).await?;
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    let mut reports = std::pin::pin!(history::newest(&vault, &names));
    while let Some((name, read)) = reports.next().await {
        match read {
            Ok(stored) if arguments.tenant.is_none() || arguments.tenant == stored.past.tenant => {
                rows.push((stored.past, stored.signed));
            }
            Ok(_) => {}
            Err(e) if e.kind() == Kind::NotFound => {
                bad.push((name, "it runs, was stopped early, or its report is lost".to_owned()))
            }
            Err(e) if e.is_damage() => bad.push((name, e.line())),
            Err(e) => return Err(e),
        }
    }
    let more = names.len().saturating_sub(LOOKED_MAX);
    if arguments.json {
        let drills: Vec<_> = rows
            .iter()
            .map(|(past, signed)| {
                let mut row = json!(past);
                row["signed"] = json!(signed);
                row
            })
            .collect();
        let bad: Vec<_> = bad.iter().map(|(name, why)| json!({ "drill": name, "why": why })).collect();
        return print(&format!("{:#}\n", json!({ "drills": drills, "without_report": bad, "older": more })));
    }
    let mut out = String::new();
    if rows.is_empty() {
        push(&mut out, 0, "no report of a drill is stored");
    } else {
        push(&mut out, 0, "DRILL     ENDED (UTC)       VERDICT  RPO        RTO        PARTS  TENANT");
    }
    for (past, signed) in &rows {
        let time = |measure: Measure| measure.measured_ms.map_or_else(|| "-".to_owned(), span);
        let parts = past.coverage.map_or("-".to_owned(), |c| format!("{}/{}", c.exercised, c.parts));
        let word = match past.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::MissedObjective => "MISSED",
            Verdict::CouldNotRun => "UNKNOWN",
        };
        let line = format!(
            "{:<8}  {:<16}  {word:<7}  {:<9}  {:<9}  {parts:<5}  {}",
            past.drill.rsplit('-').next().unwrap_or_default(),
            past.ended.strftime("%Y-%m-%d %H:%M"),
            time(past.rpo),
            time(past.rto),
            past.whose()
        );
        push(&mut out, 10, &line);
        if !signed {
            push(&mut out, 10, &format!("{:10}not signed", ""));
        }
    }
    for (name, why) in bad {
        push(&mut out, 2, &format!("no report: {name}: {why}"));
    }
    if more > 0 {
        push(&mut out, 2, &format!("{} were not read", counted(more, "older drill")));
    }
    print(&out)
}

/// Prints a report.
pub(crate) async fn show(arguments: Show) -> Result<()> {
    let vault = arguments.place.open().await?;
    let stored = named(&vault, &arguments.drill).await?;
    let report = stored.report()?;
    if arguments.json {
        return print(&format!("{:#}\n", json!({ "signed": stored.signed, "report": report })));
    }
    let mut out = String::new();
    summary(&mut out, &report);
    let signed = match stored.signed {
        true => "signed by a trusted key",
        false => "NOT SIGNED: whoever can write to the repository may have made it up",
    };
    push(&mut out, 14, &format!("signature     {signed}"));
    if let (Some(previous), Some(standing)) = (&report.previous, history::chain(&report, &vault).await?) {
        push(&mut out, 14, &format!("report before {}, {standing}", previous.drill));
    }
    push(&mut out, 14, &format!("whole report  restore-drill report {} --format md", report.drill));
    print(&out)
}

fn summary(out: &mut String, report: &Report) {
    let coverage = report.coverage.text();
    push(out, 0, &format!("{}: {coverage} exercised, {}", report.verdict.words(), report.drilled()));
    push(out, 0, report.verdict.meaning());
    for reason in &report.reasons {
        push(out, 4, &format!("  - {}", shown::foreign(reason)));
    }
    let mut row = |name: &str, value: &str| push(out, 14, &format!("{name:<14}{value}"));
    row("drill", &report.drill);
    row("ended", &clock::text(report.ended));
    if let Some(snapshot) = &report.snapshot {
        row("snapshot", &format!("{}, state of {}", snapshot.id, clock::text(snapshot.point)));
    }
    for (name, measure) in [("RPO", report.rpo), ("RTO", report.rto)] {
        let measured = measure.measured_ms.map_or_else(|| "not measured".to_owned(), span);
        let met = match (measure.objective_ms, measure.met()) {
            (None, _) => "no objective".to_owned(),
            (Some(objective), Some(true)) => format!("objective {}: met", span(objective)),
            (Some(objective), Some(false)) => format!("objective {}: MISSED", span(objective)),
            (Some(objective), None) => format!("objective {}", span(objective)),
        };
        row(name, &format!("{measured} ({met})"));
    }
    for part in &report.tenants {
        let told = part.row();
        let line = format!("{}: {} hard checks, {} files, {}", told.word, told.hard, told.files, told.before);
        row(part.tenant.as_str(), &line);
    }
    for stage in &report.stages {
        let sign = stage.shown().word();
        row(&stage.name, &format!("{:<9}  {sign}: {}", span(stage.ms), shown::foreign(&stage.note)));
    }
    let nobody = || "not recorded".to_owned();
    row("run by", &report.run_by.clone().unwrap_or_else(nobody));
    row("approved by", &report.approved_by.clone().unwrap_or_else(nobody));
}

/// Prints what differs between two drills.
pub(crate) async fn compared(arguments: Compare) -> Result<()> {
    let vault = arguments.place.open().await?;
    let both = [named(&vault, &arguments.before).await?, named(&vault, &arguments.after).await?];
    let (before, after) = (both[0].report()?, both[1].report()?);
    let differences = compare(&before, &after);
    if arguments.json {
        let signed = both.iter().all(|stored| stored.signed);
        let (before, after) = (&before.drill, &after.drill);
        let told = json!({ "before": before, "after": after, "signed": signed, "differences": differences });
        return print(&format!("{told:#}\n"));
    }
    let mut out = String::new();
    push(&mut out, 2, &format!("from {} to {}", before.drill, after.drill));
    for stored in both.iter().filter(|stored| !stored.signed) {
        push(&mut out, 2, &format!("NOT SIGNED: {}", stored.past.drill));
    }
    if differences.is_empty() {
        push(&mut out, 0, "no difference");
    }
    for one in differences {
        let way = match one.way {
            Way::Worse => "WORSE",
            Way::Better => "better",
            Way::Changed => "changed",
        };
        push(&mut out, 9, &format!("{way:<7}  {}: {} -> {}", one.what, one.before, one.after));
    }
    print(&out)
}

/// Prints a file of a report: as it was stored, if the report names it; otherwise it is made of the report.
pub(crate) async fn export(arguments: Export) -> Result<()> {
    let vault = arguments.place.open().await?;
    let stored = named(&vault, &arguments.drill).await?;
    if !stored.signed {
        say::line(&format!(
            "NOT SIGNED: whoever can write to the repository may have made up drill {}",
            stored.past.drill
        ));
    }
    let name = match arguments.format {
        Format::Html => HTML,
        Format::Md => MARKDOWN,
        Format::Junit => JUNIT,
        Format::Json => JSON,
    };
    let bytes = match arguments.format {
        Format::Json => stored.json,
        _ => file(&vault, &stored, name).await?,
    };
    match &arguments.output {
        Some(path) => disk::write_new_durable(path, &bytes),
        None => print(&String::from_utf8_lossy(&bytes)),
    }
}

async fn file(vault: &Vault, stored: &Stored, name: &str) -> Result<Vec<u8>> {
    let envelope: lifeboat::archive::drill::Envelope = lifeboat::archive::drill::read(&stored.json)?;
    let named = envelope.stored.and_then(|place| place.files.into_iter().find(|file| file.name == name));
    let Some(named) = named else {
        let report = stored.report()?;
        return Ok(match name {
            HTML => html::page(&report),
            JUNIT => junit::render(&report),
            _ => markdown::render(&report),
        }
        .into_bytes());
    };
    let repository = vault.repository();
    let key = layout::drill(repository.instance(), &stored.past.drill, name);
    let bytes = repository.get_unproven(&key, BYTES_MAX).await?.to_vec();
    match Sha256::of(&bytes) == named.sha256 {
        true => Ok(bytes),
        false => {
            Err(Error::new(Kind::Integrity, format!("{name} of drill {} was altered", stored.past.drill))
                .because(format!("report.json says that its SHA-256 is {}", named.sha256))
                .next(format!("restore-drill report {} --format json is what was signed", stored.past.drill)))
        }
    }
}

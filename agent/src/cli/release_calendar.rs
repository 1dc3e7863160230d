//! `lifeboat release calendar`.

use clap::ValueEnum;
use jiff::SignedDuration;
use serde_json::json;

use super::screen::Text;
use super::{App, Done, print};
use crate::clock::{self, Timestamp, span_text};
use crate::config::Checkpoint as Settings;
use crate::error::{Error, Kind, Result};
use crate::release::calendar::openings::{Opening, openings};
use crate::release::calendar::{argo, azure};

/// Days of the list, and days of the business hours, which know no dates.
const TEXT_DAYS: u32 = 90;
const AZURE_DAYS: u32 = 7;
/// The longest time that is listed.
const DAYS_MAX: u32 = 366;

/// Export the freeze windows of the configuration
///
/// text lists when they are open. argo writes the sync windows of an Argo CD AppProject. azure writes the
/// body of the business-hours check of an Azure DevOps environment; it is correct for the given days only, so
/// a pipeline must renew it.
///
/// An exported window is never shorter than in the configuration. If the other system cannot express a
/// window, the export has a longer one, or is refused (exit code 16).
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat release calendar
  lifeboat release calendar --format argo > sync-windows.yaml
  lifeboat release calendar --format azure --days 7 | jq .check")]
pub struct CalendarArgs {
    /// For whom
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// How many days [default: 90 for text, 7 for azure]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A list for people
    Text,
    /// Sync windows of Argo CD, in YAML
    Argo,
    /// A check of Azure DevOps, in JSON
    Azure,
}

/// Prints the calendar. Reads the configuration only.
pub fn run(args: CalendarArgs, app: &App) -> Result<Done> {
    let settings = app.config()?.checkpoint;
    let now = clock::now();
    match args.format {
        Format::Argo => {
            let windows = argo::windows(&settings, now)?;
            match app.json {
                true => print::json(&json!({ "syncWindows": windows }))?,
                false => print::out(&argo::yaml(&windows))?,
            }
        }
        Format::Azure => {
            let (open, to) = open(&settings, now, args.days.unwrap_or(AZURE_DAYS))?;
            print::json(&azure::hours(open, now, to)?)?;
        }
        Format::Text => {
            let days = args.days.unwrap_or(TEXT_DAYS);
            let (open, to) = open(&settings, now, days)?;
            let value = json!({ "from": now, "to": to, "time_zone": settings.time_zone, "windows": open });
            app.print(&value, || text(&open, &settings, now, days))?;
        }
    }
    Ok(Done::Complete)
}

fn open(settings: &Settings, now: Timestamp, days: u32) -> Result<(Vec<Opening>, Timestamp)> {
    let to = now
        .checked_add(SignedDuration::from_hours(24 * i64::from(days)))
        .map_err(|e| Error::new(Kind::Usage, "--days reaches beyond all calendars").because(e))?;
    Ok((openings(&settings.freezes, now, to)?, to))
}

fn text(open: &[Opening], settings: &Settings, now: Timestamp, days: u32) -> Text {
    let mut text = Text::default();
    if open.is_empty() {
        let why = if settings.freezes.is_empty() {
            "no freeze window is configured"
        } else {
            "no freeze window is open"
        };
        text.add(format!("{why} in the next {days} days"));
    }
    for opening in open {
        let lasts = span_text(
            std::time::Duration::try_from(opening.end.duration_since(opening.begin)).unwrap_or_default(),
        );
        let state = if opening.begin <= now { "  OPEN NOW" } else { "" };
        let reason = opening.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        let (begin, end) = (clock::text(opening.begin), clock::text(opening.end));
        text.line(4).plain(format!("{begin} to {end}  {}{reason}, {lasts}{state}", opening.name));
    }
    text
}

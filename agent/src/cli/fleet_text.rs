//! `lifeboat fleet` for people: a row for each instance, and what to do about those that are not well.

use std::path::Path;
use std::time::Duration;

use super::print;
use super::screen::{Text, Tone};
use super::table::{Cell, WIDTH, table};
use crate::clock::{self, Timestamp, span_text};
use crate::fleet::{PlanSum, Site};
use crate::inventory::standing::Standing;
use crate::names::{bytes_text, counted, shell_word};
use crate::retention::cost::money;
use crate::status::Status;

/// How far lines are indented after a line break.
const INDENT: usize = 2;
/// Instances that are named below the table, with what to do.
const NAMED_MAX: usize = 20;

/// What became of looking.
pub fn look_text(sites: &[Site<()>]) -> Text {
    let seen = sites.iter().filter(|site| site.error.is_none()).count();
    let mut text = Text::from(format!("looked at {seen} of {}", counted(sites.len(), "instance")));
    let failed = sites.iter().filter_map(|site| Some((site, site.error.as_ref()?)));
    for (site, why) in failed {
        let line = text.line(INDENT);
        line.plain(format!("{}: ", name(site, sites))).push(Tone::Bad, "NOT READ").plain(format!(": {why}"));
    }
    text
}

/// How an instance stands, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// This host has not seen it.
    NotKnown,
    /// Nothing is stored that can be restored.
    NothingStored,
    /// Its worst tenant has never been backed up.
    Never,
    /// Its worst tenant's newest dump is damaged.
    Broken,
    /// Its worst tenant's newest state is too old.
    Late,
    /// Its worst tenant misses files.
    Incomplete,
    /// Its tenants are fine, something else is not.
    Problem,
    /// All is well.
    Ok,
}

impl State {
    /// That of this one.
    pub fn of(site: &Site<Status>) -> State {
        let Some(status) = &site.result else { return State::NotKnown };
        if status.is_empty() {
            return State::NothingStored;
        }
        match status.tenants.iter().map(|tenant| tenant.standing).min() {
            Some(Standing::Never) => State::Never,
            Some(Standing::Broken) => State::Broken,
            Some(Standing::Late) => State::Late,
            Some(Standing::Incomplete) => State::Incomplete,
            Some(Standing::Ok) | None if status.is_well() => State::Ok,
            Some(Standing::Ok) | None => State::Problem,
        }
    }

    fn cell(self) -> Cell {
        let (tone, text) = match self {
            State::NotKnown => (Tone::Bad, "NOT KNOWN"),
            State::NothingStored => (Tone::Bad, "NOTHING STORED"),
            State::Never => (Tone::Bad, "NEVER BACKED UP"),
            State::Broken => (Tone::Bad, "BROKEN"),
            State::Late => (Tone::Warning, "LATE"),
            State::Incomplete => (Tone::Bad, "FILES MISSING"),
            State::Problem => (Tone::Bad, "PROBLEM"),
            State::Ok => (Tone::Plain, "ok"),
        };
        Cell(tone, text.to_owned())
    }
}

/// Seconds that its worst tenant would lose, the most for one that would lose everything; `None` without
/// tenants.
pub fn loses(site: &Site<Status>) -> Option<u64> {
    let tenants = site.result.iter().flat_map(|status| &status.tenants);
    tenants.map(|tenant| tenant.rpo_seconds.unwrap_or(u64::MAX)).max()
}

/// How each stands.
pub fn status_text(sites: &[Site<Status>]) -> Text {
    let others: Vec<&Site<Status>> = sites.iter().filter(|site| State::of(site) != State::Ok).collect();
    let well = sites.len() - others.len();
    let mut text = Text::from(format!("{well} of {} well, as this host last saw them", are(sites.len())));
    text.line(0);
    let mut rows = vec![["INSTANCE", "STATE", "TENANTS OK", "WOULD LOSE", "LOOKED AT (UTC)"].map(Cell::from)];
    rows.extend(sites.iter().map(|site| status_row(site, sites)));
    text.extend(table(&rows, print::out_width().unwrap_or(WIDTH)));
    if !others.is_empty() {
        text.line(0);
    }
    for site in others.iter().take(NAMED_MAX) {
        let next = match &site.error {
            Some(why) => why.clone(),
            None => format!("lifeboat status --config {}", quoted(&site.file)),
        };
        text.line(INDENT).plain(format!("{}: {next}", name(site, sites)));
    }
    more(&mut text, others.len());
    text
}

fn status_row(site: &Site<Status>, sites: &[Site<Status>]) -> [Cell; 5] {
    let tenants = site.result.as_ref().map_or(&[][..], |status| &status.tenants);
    let ok = tenants.iter().filter(|tenant| tenant.standing == Standing::Ok).count();
    let of_all = match tenants.len() {
        0 => "-".to_owned(),
        all => format!("{ok} of {all}"),
    };
    let loses = match loses(site) {
        None => "-".into(),
        Some(u64::MAX) => Cell(Tone::Bad, "everything".to_owned()),
        Some(seconds) => span_text(Duration::from_secs(seconds)).into(),
    };
    [name(site, sites).into(), State::of(site).cell(), of_all.into(), loses, when(site.looked_at).into()]
}

/// What expire would do.
pub fn plan_text(sites: &[Site<PlanSum>], as_of: Option<Timestamp>) -> Text {
    let plans = || sites.iter().filter_map(|site| site.result.as_ref());
    let mut text = Text::default();
    if let Some(at) = as_of {
        text.add(format!("as of {}, if nothing more is stored before that", clock::text(at)));
        text.line(0);
    }
    let head = ["INSTANCE", "NOT NEEDED", "FREES", "OF", "DELETES NOW", "LOOKED AT (UTC)"];
    let mut rows = vec![head.map(Cell::from)];
    rows.extend(sites.iter().map(|site| plan_row(site, sites)));
    text.extend(table(&rows, print::out_width().unwrap_or(WIDTH)));
    text.line(0);
    let sum = |of: fn(&PlanSum) -> u64| plans().map(of).sum::<u64>();
    text.add(format!(
        "{} of {} known: {} of {} not needed; with WAL and garbage, {} of {} would become free",
        plans().count(),
        are(sites.len()),
        sum(|plan| plan.not_needed as u64),
        counted(sum(|plan| plan.snapshots as u64), "snapshot"),
        bytes_text(sum(|plan| plan.frees_bytes)),
        bytes_text(sum(|plan| plan.stored_bytes)),
    ));
    costs(&mut text, plans());
    let others = sites.iter().filter_map(|site| {
        let not_known = site.result.iter().flat_map(|plan| &plan.not_known);
        let mut all = site.error.iter().chain(not_known);
        let first = all.next()?;
        let more = match all.count() {
            0 => String::new(),
            more => {
                let dry_run = "lifeboat expire --dry-run --stored-only --config";
                format!("; and {more} more: {dry_run} {}", quoted(&site.file))
            }
        };
        let not = if site.error.is_some() { "" } else { "not known: " };
        Some(format!("{}: {not}{first}{more}", name(site, sites)))
    });
    let others: Vec<String> = others.collect();
    for line in others.iter().take(NAMED_MAX) {
        text.line(INDENT).plain(line);
    }
    more(&mut text, others.len());
    text
}

fn plan_row(site: &Site<PlanSum>, sites: &[Site<PlanSum>]) -> [Cell; 6] {
    let name = name(site, sites).into();
    let none = || Cell::from("-");
    let Some(plan) = &site.result else {
        return [name, Cell(Tone::Bad, "NOT KNOWN".to_owned()), none(), none(), none(), none()];
    };
    [
        name,
        format!("{} of {}", plan.not_needed, plan.snapshots).into(),
        bytes_text(plan.frees_bytes).into(),
        bytes_text(plan.stored_bytes).into(),
        plan.deletes_now_bytes.map_or_else(none, |bytes| bytes_text(bytes).into()),
        when(site.looked_at).into(),
    ]
}

/// What keeping costs a month, where all prices are in one currency.
fn costs<'a>(text: &mut Text, plans: impl Iterator<Item = &'a PlanSum>) {
    let totals: Vec<_> = plans.map(|plan| (plan.costs.currency.as_ref(), plan.costs.total())).collect();
    let Some((Some(currency), _)) = totals.first() else { return };
    if totals.iter().any(|(other, _)| *other != Some(currency)) {
        return;
    }
    let before: f64 = totals.iter().filter_map(|(_, total)| total.before_month).sum();
    let after: f64 = totals.iter().filter_map(|(_, total)| total.after_month).sum();
    let (before, after) = (money(before, currency), money(after, currency));
    text.add(format!("each month: {before} now, {after} without what is not needed"));
}

fn more(text: &mut Text, all: usize) {
    if let more @ 1.. = all.saturating_sub(NAMED_MAX) {
        text.line(INDENT).plain(format!("and {more} more"));
    }
}

fn are(count: usize) -> String {
    format!("{} {}", counted(count, "instance"), if count == 1 { "is" } else { "are" })
}

/// Its instance; its file where that is not known, or others have the same name.
fn name<T>(site: &Site<T>, sites: &[Site<T>]) -> String {
    match &site.instance {
        Some(name) if sites.iter().filter(|other| other.instance == site.instance).count() == 1 => {
            name.to_string()
        }
        _ => site.file.display().to_string(),
    }
}

fn quoted(file: &Path) -> String {
    shell_word(&file.display().to_string())
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

//! `lifeboat fleet` for people: a row for each instance, and what to do about those that are not well.

use std::path::Path;
use std::time::Duration;

use super::print;
use super::screen::{Text, Tone};
use super::table::{Cell, WIDTH, table};
use crate::clock::{Timestamp, span_text};
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

/// How each stands.
pub fn status_text(sites: &[Site<Status>]) -> Text {
    let is_well = |site: &&Site<Status>| site.result.as_ref().is_some_and(Status::is_well);
    let well = sites.iter().filter(is_well).count();
    let mut text = Text::from(format!("{well} of {} well, as this host last saw them", are(sites.len())));
    text.line(0);
    let mut rows = vec![["INSTANCE", "STATE", "TENANTS OK", "WOULD LOSE", "LOOKED AT (UTC)"].map(Cell::from)];
    rows.extend(sites.iter().map(|site| status_row(site, sites)));
    text.extend(table(&rows, print::out_width().unwrap_or(WIDTH)));
    let others: Vec<&Site<Status>> = sites.iter().filter(|site| !is_well(site)).collect();
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
    let Some(status) = &site.result else {
        return [
            name(site, sites).into(),
            Cell(Tone::Bad, "NOT KNOWN".to_owned()),
            "-".into(),
            "-".into(),
            "-".into(),
        ];
    };
    let ok = status.tenants.iter().filter(|tenant| tenant.standing == Standing::Ok).count();
    let state = match status.tenants.first().map(|worst| worst.standing) {
        None => Cell(Tone::Bad, "NOTHING STORED".to_owned()),
        Some(Standing::Never) => Cell(Tone::Bad, "NEVER BACKED UP".to_owned()),
        Some(Standing::Broken) => Cell(Tone::Bad, "BROKEN".to_owned()),
        Some(Standing::Late) => Cell(Tone::Warning, "LATE".to_owned()),
        Some(Standing::Incomplete) => Cell(Tone::Bad, "FILES MISSING".to_owned()),
        Some(Standing::Ok) if status.is_well() => "ok".into(),
        Some(Standing::Ok) => Cell(Tone::Bad, "PROBLEM".to_owned()),
    };
    // `None` of one that would lose everything.
    let loses: Option<Vec<u64>> = status.tenants.iter().map(|tenant| tenant.rpo_seconds).collect();
    let loses = match loses.map(|all| all.into_iter().max().unwrap_or(0)) {
        Some(seconds) => span_text(Duration::from_secs(seconds)).into(),
        None => Cell(Tone::Bad, "everything".to_owned()),
    };
    let tenants = format!("{ok} of {}", status.tenants.len());
    [name(site, sites).into(), state, tenants.into(), loses, when(site.looked_at).into()]
}

/// What expire would do.
pub fn plan_text(sites: &[Site<PlanSum>]) -> Text {
    let plans = || sites.iter().filter_map(|site| site.result.as_ref());
    let has_now = plans().any(|plan| plan.deletes_now_bytes.is_some());
    let mut text = Text::default();
    let last = if has_now { "TO DELETE NOW" } else { "AS OF (UTC)" };
    let head = ["INSTANCE", "SNAPSHOTS", "STORED", "NOT NEEDED", "FREES", last, "LOOKED AT (UTC)"];
    let mut rows = vec![head.map(Cell::from)];
    rows.extend(sites.iter().map(|site| plan_row(site, sites)));
    text.extend(table(&rows, print::out_width().unwrap_or(WIDTH)));
    text.line(0);
    let sum = |of: fn(&PlanSum) -> u64| plans().map(of).sum::<u64>();
    text.add(format!(
        "{} of {}: {} of {} not needed, which frees {} of {}",
        plans().count(),
        counted(sites.len(), "instance"),
        sum(|plan| plan.not_needed as u64),
        counted(sum(|plan| plan.snapshots as u64), "snapshot"),
        bytes_text(sum(|plan| plan.frees_bytes)),
        bytes_text(sum(|plan| plan.stored_bytes)),
    ));
    costs(&mut text, plans());
    let others = sites.iter().filter_map(|site| {
        let why = match (&site.error, &site.result) {
            (Some(why), _) => why.clone(),
            (None, plan) => {
                let count = plan.as_ref().map_or(0, |plan| plan.not_known.len());
                let file = quoted(&site.file);
                (count > 0).then(|| {
                    let things = counted(count, "thing");
                    format!("{things} not known: lifeboat expire --dry-run --stored-only --config {file}")
                })?
            }
        };
        Some(format!("{}: {why}", name(site, sites)))
    });
    let others: Vec<String> = others.collect();
    for line in others.iter().take(NAMED_MAX) {
        text.line(INDENT).plain(line);
    }
    more(&mut text, others.len());
    text
}

fn plan_row(site: &Site<PlanSum>, sites: &[Site<PlanSum>]) -> [Cell; 7] {
    let Some(plan) = &site.result else {
        let [none, rest] = [Cell(Tone::Bad, "NOT KNOWN".to_owned()), Cell::from("-")];
        return [
            name(site, sites).into(),
            none,
            rest.clone(),
            rest.clone(),
            rest.clone(),
            rest.clone(),
            rest,
        ];
    };
    let last = plan.deletes_now_bytes.map_or_else(|| when(Some(plan.now)), bytes_text);
    [
        name(site, sites).into(),
        plan.snapshots.to_string().into(),
        bytes_text(plan.stored_bytes).into(),
        plan.not_needed.to_string().into(),
        bytes_text(plan.frees_bytes).into(),
        last.into(),
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

//! The plan of a rollback for people, in 80 columns.

use std::time::Duration;

use super::screen::{Text, Tone};
use crate::clock::{self, span_text};
use crate::inventory::plan::Plan;
use crate::names::{bytes_text, counted};
use crate::odoo::business::Document;
use crate::release::decision::Way;
use crate::release::forecast::Takes;
use crate::release::plan::RollbackPlan;
use crate::release::statistics::{Touched, TouchedTable};
use crate::release::tenant::{DocumentCount, TenantPlan};
use crate::release::written::Written;

/// Where values begin.
const VALUE: usize = 14;
/// Reasons, tables and sequences that are named; `--json` names all.
const NAMED_MAX: usize = 10;

/// All of it.
pub fn text(plan: &RollbackPlan) -> Text {
    let mut text = Text::default();
    text.add(format!("rollback of release {} of {}", plan.release, plan.instance));
    let ago = plan.computed.duration_since(plan.point_time);
    let ago = span_text(Duration::try_from(ago).unwrap_or_default());
    let lsn = plan.point.as_ref().map_or(String::new(), |point| format!(", {}", point.lsn));
    value(&mut text, "point", format!("{}{lsn}: {ago} ago", clock::text(plan.point_time)));
    way(&mut text, "way", plan.way);
    let tenants = counted(plan.tenants.len(), "tenant");
    value(
        &mut text,
        "takes",
        match plan.seconds {
            Some(seconds) => {
                format!("about {} to restore {tenants}, one after the other", seconds_text(seconds))
            }
            None => format!("not known for {tenants}: no restore was measured"),
        },
    );
    for tenant in &plan.tenants {
        text.line(0);
        one(&mut text, tenant);
    }
    text.line(0);
    text.add("steps");
    let mut condition = None;
    for (number, step) in plan.steps.iter().enumerate() {
        if step.only_if != condition {
            condition.clone_from(&step.only_if);
            let said =
                condition.as_ref().map_or("in any case:".to_owned(), |only| format!("only if {only}:"));
            text.line(2).plain(format!("  {said}"));
        }
        text.line(5).plain(format!("{:>3}. {}", number + 1, step.what));
        if let Some(command) = &step.command {
            text.line(9).plain(format!("     {command}"));
        }
        if let Some(undo) = &step.undo {
            text.line(11).plain(format!("     undo: {undo}"));
        }
    }
    text.line(0);
    text.add("keep in mind");
    for thought in &plan.think_of {
        text.line(4).plain(format!("  - {thought}"));
    }
    for warning in &plan.warnings {
        text.line(9).push(Tone::Warning, "warning:").plain(format!(" {warning}"));
    }
    text
}

fn value(text: &mut Text, label: &str, said: impl AsRef<str>) {
    text.line(VALUE).plain(format!("  {label:<12}{}", said.as_ref()));
}

fn way(text: &mut Text, label: &str, way: Way) {
    let (tone, word, rest) = match way {
        Way::Nothing => {
            (Tone::Plain, "nothing", ": the tenant was restored, and its tables and modules match the point")
        }
        Way::Image => {
            (Tone::Plain, "image", ": tables and modules are as they were; what the release wrote stays")
        }
        Way::ImageAfterCheck => (
            Tone::Warning,
            "image, after a check",
            ": only tables or optional columns were added; try it on a copy",
        ),
        Way::NotKnown => (Tone::Bad, "not known", ": what decides it could not be read"),
        Way::Database => (Tone::Bad, "database", ": the database goes back to the point, with the image"),
    };
    text.line(VALUE).plain(format!("  {label:<12}")).push(tone, word).plain(rest);
}

fn one(text: &mut Text, plan: &TenantPlan) {
    text.add(format!("tenant {}", plan.tenant));
    way(text, "way", plan.way);
    listed(text, "because", &plan.reasons, |reason| reason.to_string());
    // what was written to a database that was put back is not to be lost
    let mut label = if plan.way == Way::Nothing { "since" } else { "lost" };
    let (about, known) = if plan.is_exact { ("", "") } else { ("about ", ", as far as is known") };
    let mut nothing = Vec::new();
    for (document, count) in &plan.written {
        match count {
            DocumentCount::NotInstalled => {}
            DocumentCount::Yes(written) if written.after + written.maybe + written.changed == 0 => {
                nothing.push(document.plural());
            }
            DocumentCount::Yes(written) => {
                value(text, label, format!("{about}{}", lost(written)));
                ends(written).into_iter().for_each(|line| value(text, "", line));
                label = "";
            }
            DocumentCount::No { why } => {
                let line = text.line(VALUE).plain(format!("  {label:<12}{}: ", document.plural()));
                line.push(Tone::Bad, "not known").plain(format!(": {why}"));
                label = "";
            }
        }
    }
    if !nothing.is_empty() {
        value(text, label, format!("no {}{known}", nothing.join(", ")));
    }
    match &plan.numbers {
        None => value(text, "numbers", "not known"),
        Some(numbers) => listed(text, "numbers", numbers, |one| {
            let of = one.of.as_deref().unwrap_or(&one.sequence);
            match (one.numbers, one.count) {
                (Some((first, last)), Some(count)) => format!("{of}: {first} to {last} ({count})"),
                _ => format!("{of}: not known, because the sequence was reset or replaced"),
            }
        }),
    }
    match &plan.touched {
        Touched::No { why } => {
            text.line(VALUE)
                .plain(format!("  {:<12}", "rows"))
                .push(Tone::Warning, "not known")
                .plain(format!(": {why}"));
        }
        Touched::Yes { tables } => {
            let changed: Vec<&TouchedTable> = tables.iter().filter(|table| table.lost_rows()).collect();
            match changed.is_empty() {
                true => value(text, "rows", "none were updated or deleted"),
                false => listed(text, "rows", &changed, |table| rows(table)),
            }
        }
    }
    if let Some(restore) = &plan.restore {
        let (snapshot, reads) = match restore {
            Plan::Dump(plan) => (&plan.snapshot, plan.reads()),
            Plan::Point(plan) => (&plan.snapshot, plan.reads()),
        };
        value(text, "restore", format!("from {snapshot}; fetches {reads}"));
    }
    value(
        text,
        "takes",
        match &plan.takes {
            Takes::Measured { seconds, record } | Takes::Scaled { seconds, record } => {
                format!("about {} ({record})", seconds_text(*seconds))
            }
            Takes::Drill { seconds, record } => {
                format!("about {} ({record}, perhaps of another tenant)", seconds_text(*seconds))
            }
            Takes::NotKnown => "not known: no restore was measured".to_owned(),
        },
    );
}

/// A list under one label, cut where it is long.
fn listed<T>(text: &mut Text, label: &str, all: &[T], line: impl Fn(&T) -> String) {
    for (number, one) in all.iter().take(NAMED_MAX).enumerate() {
        value(text, if number == 0 { label } else { "" }, line(one));
    }
    if all.len() > NAMED_MAX {
        value(text, "", format!("and {} more: --json names all", all.len() - NAMED_MAX));
    }
}

fn lost(written: &Written) -> String {
    let mut out = written.document.counted(written.after);
    if let (Some(done), Some(word)) = (written.done, written.document.done_word()) {
        out += &format!(", {done} {word}");
    }
    for (currency, sum) in written.sums.iter().flatten() {
        out += &format!(", {sum} {currency}");
    }
    if let Some(bytes) = written.bytes.filter(|_| written.document == Document::Attachment) {
        out += &format!(", {}", bytes_text(bytes));
    }
    if written.maybe > 0 {
        out += &format!(", and perhaps {} whose transaction was open at the point", written.maybe);
    }
    if written.changed > 0 {
        out += &format!("; {} older ones were changed", written.changed);
    }
    out
}

fn ends(written: &Written) -> Option<String> {
    let (oldest, newest) = (clock::text(written.oldest?), clock::text(written.newest?));
    Some(match (&written.first, &written.last) {
        (Some(first), Some(last)) => format!("  {first} to {last}, {oldest} to {newest}"),
        _ => format!("  {oldest} to {newest}"),
    })
}

fn rows(table: &TouchedTable) -> String {
    let name = match table.schema.as_str() {
        "public" => table.table.clone(),
        schema => format!("{schema}.{}", table.table),
    };
    let counts = match table.rows {
        Some(rows) => format!("{} updated, {} deleted", rows.updated, rows.deleted),
        None => "not known".to_owned(),
    };
    let rewritten = if table.rewritten { ", emptied or rewritten" } else { "" };
    format!("{name}: {counts}{rewritten}")
}

fn seconds_text(seconds: f64) -> String {
    span_text(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::made_up::{at, checkpoint, counters, table};
    use crate::release::plan::plan;
    use crate::release::tenant::{Looked, TenantInput, TenantNow};

    #[test]
    fn the_plan_fits_80_columns_and_commands_stay_whole() {
        let tenant = "a_tenant_with_quite_a_long_name_of_a_shop";
        let mut point = counters(95);
        point.tables = vec![table("sale_order", &[("a_column_with_a_long_name_that_was_dropped", "text")])];
        let mut now = point.clone();
        now.tables[0].columns.clear();
        now.tables[0].updated = 7;
        let seen = TenantNow {
            counters: now,
            modules: Ok(Vec::new()),
            numbering: None,
            written: [(
                Document::Invoice,
                DocumentCount::No { why: "column account_move.move_type is odd".into() },
            )]
            .into(),
            kept_as: None,
        };
        let input = TenantInput {
            tenant: tenant.parse().unwrap(),
            point: Ok(point),
            now: Looked::Seen(Box::new(seen)),
            restore: Err("the repository does not answer, although it was asked for a long time".into()),
        };
        let text = text(&plan(&checkpoint(&[tenant]), vec![input], &[], at(2000))).render(Some(80), false);
        let wide = text.lines().find(|line| line.chars().count() > 80 && !line.contains("lifeboat "));
        assert_eq!(wide, None, "{text}");
        for said in [
            "  way         database: the database goes back",
            "module sale 17.0.1.0 is not installed any more",
            "invoices: not known: column account_move",
            "  rows        sale_order: 7 updated, 0 deleted",
            "  1. stop Odoo",
        ] {
            assert!(text.contains(said), "{said:?} is not in\n{text}");
        }
        let command = format!("     lifeboat rollback salvage --release 7 --tenant {tenant} --against ");
        assert!(text.lines().any(|line| line.starts_with(&command)), "{text}");
    }
}

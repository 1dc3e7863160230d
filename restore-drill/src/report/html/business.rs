//! What was lost or changed since earlier dumps, and what Odoo did on the copy.

use std::fmt::Write;

use lifeboat::error::shown::markup;
use lifeboat::names::counted;
use lifeboat::odoo::changes::Weight;

use super::details::class;
use super::state;
use crate::report::Report;
use crate::report::verdict::span;

/// Changes that the page shows; report.json has all.
const SHOWN_MAX: usize = 200;

pub fn changes(out: &mut String, report: &Report) {
    if report.changes.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Since earlier dumps</h2>\n<p>A loss fails the drill. A change is for a person to confirm: only \
         who made it knows whether it was meant.</p>\n<table><thead><tr><th>What</th><th>Result</th></tr></thead><tbody>\n",
    );
    for change in report.changes.iter().take(SHOWN_MAX) {
        let (class, word) = match change.weight {
            Weight::Lost => ("failed", "lost"),
            Weight::Changed | Weight::Grown => ("missed", "changed"),
        };
        let text = markup(&change.to_string());
        let _ = writeln!(out, "<tr><td>{text}</td><td class=\"w\">{}</td></tr>", state(class, word));
    }
    out.push_str("</tbody></table>\n");
    let more = report.changes.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        let _ = writeln!(out, "<p class=\"soft\">{} more in report.json</p>", counted(more, "change"));
    }
}

pub fn trade(out: &mut String, report: &Report) {
    if report.transactions.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Business transactions</h2>\n<table><thead><tr><th>Step</th><th class=\"n\">Time</th><th>Result</th></tr></thead><tbody>\n",
    );
    for step in &report.transactions {
        let _ = writeln!(
            out,
            "<tr><td class=\"w\">{}: {}</td><td class=\"n w\" data-l=\"time\">{}</td><td>{} <span class=\"soft\">{}</span></td></tr>",
            markup(&step.flow),
            markup(&step.name),
            span(step.ms),
            state(class(step.state), step.state.word()),
            markup(&step.what)
        );
    }
    out.push_str("</tbody></table>\n");
    if let Some(traffic) = &report.traffic {
        let _ = writeln!(
            out,
            "<p>{} packets left the copy's network. {} were tried from the start of Odoo to the end, and {} ran once.</p>",
            traffic.packets_out,
            counted(traffic.attempts, "connection"),
            counted(traffic.actions, "scheduled action")
        );
    }
}

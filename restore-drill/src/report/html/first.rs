//! The first page: verdict, RPO and RTO against their objectives, the trend, and the other tenants.

use std::fmt::Write;

use lifeboat::clock;
use lifeboat::error::shown::markup;
use lifeboat::names::{bytes_text, counted};

use super::pictures::{class, gauge, sign, trend};
use super::state;
use crate::report::Report;
use crate::report::past::Past;
use crate::report::verdict::{Measure, Verdict, span};

/// Reasons on the first page.
const REASONS_MAX: usize = 5;
/// Other tenants on the first page: the worst.
const OTHERS_MAX: usize = 3;

pub fn page(out: &mut String, report: &Report) {
    let (kind, name) = match &report.tenant {
        Some(tenant) => ("tenant", markup(tenant.as_str())),
        None => ("whole", "instance".to_owned()),
    };
    let instance = report
        .snapshot
        .as_ref()
        .map_or_else(String::new, |snapshot| format!(" of instance {}", markup(snapshot.instance.as_str())));
    let _ = writeln!(
        out,
        "<p class=\"eyebrow\">Restore drill, {kind} <strong>{name}</strong>{instance}, {}</p>",
        clock::text(report.begun)
    );
    verdict(out, report);
    out.push_str("<div class=\"cards\">\n");
    let proven = matches!(report.verdict, Verdict::Passed | Verdict::MissedObjective);
    measure(out, "RPO", "data that would have been lost", (report.rpo, proven));
    measure(out, "RTO", "time until the data was back and checked", (report.rto, proven));
    restored(out, report);
    history(out, report);
    match report.tenants.is_empty() {
        true => others(out, report),
        false => tenants(out, report),
    }
    out.push_str("</div>\n");
}

fn verdict(out: &mut String, report: &Report) {
    let class = class(report.verdict);
    let meaning = report.verdict.meaning();
    let _ = write!(
        out,
        "<section class=\"verdict {class}\">{}<div><p class=\"word\">{}</p><h1>{} of a recovery were exercised. {meaning}</h1>",
        sign(class),
        report.verdict.words(),
        report.coverage.text(),
    );
    if !report.reasons.is_empty() {
        out.push_str("<ul>");
        for reason in report.reasons.iter().take(REASONS_MAX) {
            let _ = write!(out, "<li>{}</li>", markup(reason));
        }
        if let more @ 1.. = report.reasons.len().saturating_sub(REASONS_MAX) {
            let _ = write!(out, "<li>and {more} more, in the details</li>");
        }
        out.push_str("</ul>");
    }
    if let accepted @ 1.. = report.summary.hard.accepted {
        let checks = counted(accepted, "hard check");
        let _ = write!(out, "<p>{checks} found violations that the plan accepts.</p>");
    }
    out.push_str("</div></section>\n");
}

/// `proven`: the restored data is right. Otherwise a met objective is worth nothing, and does not look met.
fn measure(out: &mut String, name: &str, what: &str, (measure, proven): (Measure, bool)) {
    let measured = measure.measured_ms.map_or_else(|| "not measured".to_owned(), span);
    let (class, met) = match (measure.met(), measure.measured_ms) {
        (Some(true), _) if proven => ("passed", "met"),
        (Some(true), _) => ("unknown", "within it, but not proven"),
        (Some(false), _) => ("missed", "missed"),
        (None, Some(_)) => ("unknown", "no objective is set"),
        (None, None) => ("unknown", "not measured"),
    };
    let objective = measure.objective_ms.map_or_else(String::new, |ms| format!("objective {}: ", span(ms)));
    let _ = writeln!(
        out,
        "<div class=\"card\"><h3>{name} <span class=\"soft\">{what}</span></h3><div class=\"big\">{measured}</div>{}\
         <p class=\"small\">{objective}{}</p></div>",
        gauge(name, measure),
        state(class, met)
    );
}

fn restored(out: &mut String, report: &Report) {
    out.push_str("<div class=\"card\"><h3>The backup</h3>");
    match &report.snapshot {
        None => out.push_str("<p>None: no snapshot was found.</p>"),
        Some(snapshot) => {
            let chosen = match (snapshot.replayed_to, snapshot.by_choice) {
                (Some(_), _) => "with WAL replayed onto it",
                (None, true) => "named in the plan or on the command line",
                (None, false) => "the newest that fits the plan",
            };
            let odoo = snapshot.odoo_version.as_deref().unwrap_or("of unknown version");
            let size = report
                .integrity
                .as_ref()
                .map_or(snapshot.database_bytes, |found| found.database_bytes.max(snapshot.database_bytes));
            let odoo = match &snapshot.tenant {
                Some(_) => format!("Odoo {}, ", markup(odoo)),
                None => String::new(),
            };
            let databases = if snapshot.tenant.is_some() { "database" } else { "the tenants' databases" };
            let _ = write!(
                out,
                "<p>The state of <strong>{}</strong></p><p class=\"small soft\">Snapshot {}, {chosen}. {odoo}\
                 PostgreSQL {}, {databases} of {}{}.</p>",
                clock::text(snapshot.point),
                snapshot.id,
                snapshot.postgres_major,
                bytes_text(size),
                report.integrity.as_ref().map_or_else(String::new, |found| format!(
                    ", {} ({})",
                    counted(found.files, "file"),
                    bytes_text(found.bytes)
                )),
            );
        }
    }
    out.push_str("</div>\n");
}

fn history(out: &mut String, report: &Report) {
    let passed = report.history.iter().filter(|past| past.verdict == Verdict::Passed).count()
        + usize::from(report.verdict == Verdict::Passed);
    let all = report.history.len() + 1;
    let kind = if report.tenant.is_some() { "tenant" } else { "instance as a whole" };
    let objective = report.rto.objective_ms.map_or("", |_| "; the dashed line is the objective");
    let _ = writeln!(
        out,
        "<div class=\"card\"><h3>Last drills of this {kind} <span class=\"soft\">time to recover{objective}</span></h3>{}\
         <p class=\"small\">{passed} of {} passed.</p></div>",
        trend(report),
        counted(all, "drill")
    );
}

/// The tenants of the drilled instance.
fn tenants(out: &mut String, report: &Report) {
    let bad: Vec<_> = report.tenants.iter().filter(|part| part.verdict != Verdict::Passed).collect();
    let passed = report.tenants.len() - bad.len();
    let all = counted(report.tenants.len(), "tenant");
    let _ = write!(out, "<div class=\"card wide\"><h3>Tenants</h3><p>{passed} of {all} passed.</p>");
    if !bad.is_empty() {
        out.push_str("<p>The worst:</p><ul>");
        for part in bad.iter().take(OTHERS_MAX) {
            let (name, word) = (markup(part.tenant.as_str()), part.verdict.words());
            let _ = write!(out, "<li>{name}: {}</li>", state(class(part.verdict), word));
        }
        out.push_str("</ul>");
    }
    out.push_str("</div>\n");
}

fn others(out: &mut String, report: &Report) {
    if report.others.is_empty() {
        return;
    }
    let bad: Vec<&Past> = report.others.iter().filter(|past| past.verdict != Verdict::Passed).collect();
    let passed = report.others.len() - bad.len();
    let _ = write!(
        out,
        "<div class=\"card wide\"><h3>Other tenants of this instance</h3><p>The newest drill of {passed} of {} passed.</p>",
        counted(report.others.len(), "tenant")
    );
    if !bad.is_empty() {
        out.push_str("<p>The worst:</p><ul>");
        for past in bad.iter().take(OTHERS_MAX) {
            let (name, word) = (markup(past.whose()), past.verdict.words());
            let day = past.ended.strftime("%Y-%m-%d");
            let _ = write!(out, "<li>{name}: {}, {day}</li>", state(class(past.verdict), word));
        }
        out.push_str("</ul>");
    }
    out.push_str("</div>\n");
}

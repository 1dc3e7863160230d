//! `lifeboat expire --html`: the plan as one page for a browser or a printer. It has no script and loads
//! nothing. What goes and what stays differs by words and shapes, not by colour alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::expire_text::{Shown, reasons};
use crate::clock::{self, Timestamp};
use crate::error::shown::markup as escape;
use crate::names::{SnapshotId, TenantName, bytes_text, counted};
use crate::retention::cost::{Costs, money};
use crate::retention::reason::Reason;

/// The width of a timeline, in its own units.
const WIDTH: f64 = 1000.0;
/// The height of a line of it.
const LINE: usize = 44;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--soft:#5a5f66;--line:#c9ced6;--stays:#0b5fae;--goes:#a33c00}\
@media(prefers-color-scheme:dark){:root{--ink:#e8e8e8;--paper:#16181c;--soft:#a6adb8;--line:#454b55;--stays:#7ab8f5;--goes:#ffab73}}\
*{box-sizing:border-box}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;padding:1.5rem;max-width:70rem;overflow-wrap:anywhere}\
h1{font-size:1.4rem;line-height:1.3;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .4rem}\
p{margin:.3rem 0}.soft{color:var(--soft)}.note{border-left:.25rem solid var(--goes);padding-left:.7rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line)}\
td.n,th.n{text-align:right}td.n,td.stays,td.goes,td.t{white-space:nowrap}\
.stays{color:var(--stays)}.goes{color:var(--goes)}\
.scroll{overflow-x:auto}svg{width:100%;min-width:40rem;height:auto;display:block}svg text{fill:var(--soft);font-size:13px}\
.dot{fill:var(--stays)}.ring{fill:none;stroke:var(--goes);stroke-width:2.5}.axis{stroke:var(--line)}\
code{font-size:.9em}\
@media(max-width:40rem){body{padding:1rem}thead{display:none}tr{display:block;padding:.4rem 0;border-bottom:1px solid var(--line)}\
td,td.n{display:block;border:0;padding:0;text-align:left;white-space:normal}td[data-l]::before{content:attr(data-l)\": \";color:var(--soft)}}\
@media print{body{max-width:none;padding:0;font-size:10pt}svg{min-width:0}tr{break-inside:avoid}h2{break-after:avoid}}";

/// One snapshot of the plan.
struct Row<'a> {
    id: &'a SnapshotId,
    stored_at: Timestamp,
    bytes: u64,
    /// Why it stays; `None` where it goes.
    why: Option<String>,
}

/// The page.
pub fn page(shown: &Shown<'_>) -> String {
    let (plan, costs) = (shown.plan, shown.costs);
    let mut out = String::new();
    let (goes, stays) = (plan.snapshots.len(), plan.stays.len());
    let freed = bytes_text(plan.bytes());
    let kept = bytes_text(costs.total().after_bytes);
    let (snapshots, others) = (counted(goes, "snapshot"), counted(stays, "snapshot"));
    let head = match shown.as_of {
        true => format!(
            "On {}, {snapshots} would not be needed: {freed} would be freed; {others} would stay, {kept}.",
            clock::text(plan.now)
        ),
        false => format!("{snapshots} not needed any more: {freed} will be freed; {others} stay, {kept}."),
    };
    let title = format!("Expiry of {}", shown.config.instance);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body>\n<h1>{}</h1>\n\
         <p class=\"soft\">Instance {} in {}, {}{}</p>\n",
        escape(&title),
        escape(&head),
        escape(shown.config.instance.as_str()),
        escape(shown.repository),
        clock::text(plan.now),
        if shown.as_of { ", if nothing more is stored before that" } else { "" },
    );
    for what in &shown.unknown {
        let _ = writeln!(out, "<p class=\"note\"><strong>Not known:</strong> {}</p>", escape(what));
    }
    for what in &shown.not_believed {
        let _ =
            writeln!(out, "<p class=\"note\"><strong>Tombstone not believed:</strong> {}</p>", escape(what));
    }
    for note in &plan.notes {
        let _ = writeln!(out, "<p class=\"note\">Note: {}</p>", escape(note));
    }
    by_class(&mut out, costs);
    let tenants = tenants(shown);
    timeline(&mut out, &tenants);
    others_go(&mut out, shown);
    for (whose, rows) in &tenants {
        table(&mut out, whose, rows);
    }
    out += "</body></html>\n";
    out
}

fn tenants<'a>(shown: &'a Shown<'_>) -> BTreeMap<String, Vec<Row<'a>>> {
    let mut found: BTreeMap<String, Vec<Row<'a>>> = BTreeMap::new();
    let name = |tenant: &Option<TenantName>| {
        tenant.as_ref().map_or("whole instance".to_owned(), ToString::to_string)
    };
    for one in &shown.plan.stays {
        let cold = shown.cold(&one.id).map_or(String::new(), |cold| format!("; {cold}"));
        let why = Some(reasons(&one.reasons) + &cold);
        let row = Row { id: &one.id, stored_at: one.stored_at, bytes: one.bytes, why };
        found.entry(name(&one.tenant)).or_default().push(row);
    }
    for one in &shown.plan.snapshots {
        let row = Row { id: &one.id, stored_at: one.stored_at, bytes: one.bytes, why: None };
        found.entry(name(&one.tenant)).or_default().push(row);
    }
    found.values_mut().for_each(|rows| rows.sort_by_key(|row| std::cmp::Reverse(row.stored_at)));
    found
}

fn by_class(out: &mut String, costs: &Costs) {
    let priced = costs.currency.is_some();
    *out += "<h2>By recovery class</h2>\n<table><thead><tr><th>Class</th><th class=\"n\">Now</th>\
             <th class=\"n\">After</th>";
    if priced {
        *out += "<th class=\"n\">A month now</th><th class=\"n\">A month after</th>\
                 <th class=\"n\">Read once</th><th class=\"n\">Early deletion</th>";
    }
    *out += "</tr></thead><tbody>\n";
    let total = costs.total();
    for (name, one) in costs.classes.iter().map(|(name, one)| (name.as_str(), one)).chain([("all", &total)]) {
        let (before, after) = (bytes_text(one.before_bytes), bytes_text(one.after_bytes));
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\" data-l=\"now\">{before}</td><td class=\"n\" data-l=\"after\">{after}</td>",
            escape(name)
        );
        if let Some(currency) = &costs.currency {
            let all = [
                ("a month now", one.before_month),
                ("a month after", one.after_month),
                ("read once", one.read_once),
                ("early deletion", one.early),
            ];
            for (label, amount) in all {
                let text = amount.map_or("-".to_owned(), |amount| money(amount, currency));
                let _ = write!(out, "<td class=\"n\" data-l=\"{label}\">{}</td>", escape(&text));
            }
        }
        *out += "</tr>\n";
    }
    *out += "</tbody></table>\n";
    if !priced {
        *out += "<p class=\"soft\">No costs: set rates.gb_month.</p>\n";
    }
}

/// When each snapshot was stored: a full dot stays, a ring goes.
fn timeline(out: &mut String, tenants: &BTreeMap<String, Vec<Row<'_>>>) {
    // A line for each kind: dump and filestore are stored at the same time.
    let mut lines: BTreeMap<(&str, &str), Vec<&Row<'_>>> = BTreeMap::new();
    for (whose, rows) in tenants {
        for row in rows {
            lines.entry((whose, row.id.kind())).or_default().push(row);
        }
    }
    let times: BTreeSet<Timestamp> = lines.values().flatten().map(|row| row.stored_at).collect();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
    let span = last.duration_since(*first).as_secs_f64().max(1.0);
    let x = |at: Timestamp| 20.0 + (WIDTH - 40.0) * at.duration_since(*first).as_secs_f64() / span;
    let height = LINE * lines.len() + 34;
    let _ = write!(
        out,
        "<h2>Timeline</h2>\n<p class=\"soft\"><span class=\"stays\">&#9679;</span> stays, \
         <span class=\"goes\">&#9675;</span> goes; by the time when it was stored</p>\n<div class=\"scroll\">\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"When each snapshot was stored\">\n"
    );
    for (number, ((whose, kind), rows)) in lines.iter().enumerate() {
        let y = LINE * number + 34;
        let _ = writeln!(
            out,
            "<text x=\"0\" y=\"{}\">{}: {kind}</text>\
             <line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/>",
            y - 14,
            escape(whose)
        );
        for row in rows {
            let (at, id) = (x(row.stored_at), row.id);
            let (class, word) = if row.why.is_some() { ("dot", "stays") } else { ("ring", "goes") };
            let _ = writeln!(
                out,
                "<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{y}\" r=\"5\"><title>{id} {word}</title></circle>"
            );
        }
    }
    let (y, day) = (height - 4, "%Y-%m-%d");
    let _ = writeln!(
        out,
        "<text x=\"0\" y=\"{y}\">{}</text><text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{}</text></svg></div>",
        first.strftime(day),
        last.strftime(day)
    );
}

/// WAL, batches and garbage.
fn others_go(out: &mut String, shown: &Shown<'_>) {
    let plan = shown.plan;
    *out += "<h2>WAL and other objects</h2>\n";
    let wal: BTreeSet<&Reason> = plan.wal_stays.iter().map(|span| &span.reason).collect();
    match &plan.all_wal_stays {
        Some(reason) => drop(writeln!(out, "<p>All WAL stays: {}</p>", escape(&reason.to_string()))),
        None if wal.is_empty() => *out += "<p>No WAL is stored.</p>\n",
        None => drop(writeln!(out, "<p>WAL stays for: {}</p>", escape(&reasons(wal)))),
    }
    let lines = [
        ("WAL objects", plan.wal.len(), plan.wal.iter().map(|one| one.bytes).sum()),
        ("batches of files", plan.batches.len(), plan.batches.iter().map(|one| one.bytes).sum()),
        ("unfinished snapshots", plan.unfinished.len(), 0),
        ("pieces of garbage", plan.garbage.len(), plan.garbage.iter().map(|one| one.bytes).sum()),
        ("unfinished uploads", plan.uploads.len(), plan.uploads.iter().map(|one| one.bytes).sum()),
    ];
    for (what, count, size) in lines.into_iter().filter(|(_, count, _)| *count > 0) {
        let size = if size > 0 { format!(", {}", bytes_text(size)) } else { String::new() };
        let _ = writeln!(out, "<p>{what} that go: {count}{size}</p>");
    }
    let foreign = plan.foreign.len() + plan.foreign_more;
    if foreign > 0 {
        let _ = writeln!(out, "<p class=\"note\">Foreign objects, never deleted: {foreign}</p>");
    }
}

fn table(out: &mut String, whose: &str, rows: &[Row<'_>]) {
    let size = |stays: bool| -> String {
        bytes_text(rows.iter().filter(|row| row.why.is_some() == stays).map(|row| row.bytes).sum())
    };
    let stay = rows.iter().filter(|row| row.why.is_some()).count();
    let _ = write!(
        out,
        "<h2>{}</h2>\n<p>{} kept ({}), {} not needed any more ({})</p>\n<table><thead><tr><th></th>\
         <th>Snapshot</th><th>Stored (UTC)</th><th class=\"n\">Size</th><th>Why</th></tr></thead><tbody>\n",
        escape(whose),
        counted(stay, "snapshot"),
        size(true),
        rows.len() - stay,
        size(false),
    );
    for row in rows {
        let (class, mark, word, why) = match &row.why {
            Some(why) => ("stays", "&#9679;", "stays", why.as_str()),
            None => ("goes", "&#9675;", "goes", "nothing needs it"),
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"{class}\">{mark}&nbsp;{word}</td><td data-l=\"snapshot\"><code>{}</code></td>\
             <td class=\"t\" data-l=\"stored\">{}</td><td class=\"n\" data-l=\"size\">{}</td><td data-l=\"why\">{}</td></tr>",
            row.id,
            row.stored_at.strftime("%Y-%m-%d %H:%M"),
            bytes_text(row.bytes),
            escape(why)
        );
    }
    *out += "</tbody></table>\n";
}

//! Who, what, with what: the record for an auditor.

use std::fmt::Write;

use lifeboat::clock;
use lifeboat::error::shown::markup;

use crate::report::Report;
use crate::report::controls::evidence;

pub fn controls(out: &mut String, report: &Report) {
    let what = if report.tenant.is_some() { "one tenant" } else { "a whole instance" };
    let _ = write!(
        out,
        "<h2>Controls</h2>\n<p class=\"small soft\">This drill is evidence that a recovery was tested on {what}, also if \
         the test failed. It is one part of what a control asks for; the auditor says whether it is enough.</p>\n\
         <table><thead><tr><th>Control</th><th>Asks that</th><th>This drill</th><th>Not shown by a drill</th></tr></thead><tbody>\n",
    );
    for one in evidence(report) {
        let _ = writeln!(
            out,
            "<tr><td><strong>{}</strong> {}</td><td data-l=\"asks that\">{}</td><td data-l=\"this drill\"><strong>{}</strong>: {}</td>\
             <td data-l=\"not shown\">{}</td></tr>",
            one.framework,
            one.reference,
            one.asks,
            one.says,
            markup(&one.by),
            one.not
        );
    }
    out.push_str("</tbody></table>\n");
}

pub fn record(out: &mut String, report: &Report) {
    out.push_str("<h2>Record</h2>\n<dl class=\"small\">");
    let mut row = |what: &str, value: &str| {
        let _ = write!(out, "<dt>{what}</dt><dd>{}</dd>", markup(value));
    };
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    row("Drill", &report.drill);
    row("Begun, ended", &format!("{}, {}", clock::text(report.begun), clock::text(report.ended)));
    row("Run by", &or(&report.run_by, "not recorded"));
    row("Approved by", &or(&report.approved_by, "nobody is named in the plan"));
    let digest = report.plan_sha256.map_or_else(String::new, |digest| format!(", SHA-256 {digest}"));
    row("Plan", &format!("{}{digest}", report.plan));
    row("Program", &format!("{}, commit {}", report.written_by, or(&report.commit, "unknown")));
    for one in &report.manifests {
        row("Snapshot", &format!("{}, manifest SHA-256 {}", one.id, one.manifest_sha256));
    }
    for one in &report.recipients {
        row("Encrypted to", one);
    }
    match &report.previous {
        Some(previous) => {
            row("Report before this", &format!("{}, SHA-256 {}", previous.drill, previous.sha256))
        }
        None => row("Report before this", "none of this kind is stored and signed"),
    }
    if let Some(dir) = &report.kept {
        row("Restored data", &format!("kept in {dir}"));
    }
    let verify = format!(
        "this page is named in report.json, with its SHA-256; report.json is signed if the host has a key. \
         restore-drill show {} verifies it",
        report.drill
    );
    row("Signature", &verify);
    out.push_str("</dl>\n");
}

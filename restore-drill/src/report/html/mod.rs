//! `report.html`: the report as one page for a browser, a phone or a printer. It has no script and loads
//! nothing. The first page of the print is for those who decide; the details begin on the second.
//!
//! A failed drill looks failed by its word and the shape of its sign, not by colour alone. What could not be
//! verified never looks like what passed. Every text that is not ours passes through `markup`.

use std::fmt::Write;

use lifeboat::clock;
use lifeboat::error::shown::markup;

use super::Report;

mod business;
mod details;
mod first;
mod pictures;
mod record;
mod style;

/// The page.
pub fn page(report: &Report) -> String {
    let title = format!("Restore drill of {}: {}", report.drilled(), report.verdict.words().to_lowercase());
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{}</title><style>{}</style></head><body>\n",
        markup(&title),
        style::STYLE
    );
    first::page(&mut out, report);
    out += "<div class=\"details\">\n";
    details::tenants(&mut out, report);
    details::stages(&mut out, report);
    details::findings(&mut out, report);
    details::counts(&mut out, report);
    business::changes(&mut out, report);
    business::trade(&mut out, report);
    details::checks(&mut out, report);
    details::not_exercised(&mut out, report);
    record::controls(&mut out, report);
    record::record(&mut out, report);
    let _ = write!(
        out,
        "</div>\n<p class=\"soft small\">Drill {}, written {}.</p>\n</body></html>\n",
        markup(&report.drill),
        clock::text(report.ended)
    );
    out
}

/// A word with its sign.
fn state(class: &str, word: &str) -> String {
    format!("<span class=\"state {class}\">{}{}</span>", pictures::sign(class), markup(word))
}

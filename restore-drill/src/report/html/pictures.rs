//! The pictures of the page: inline SVG, with words for those who do not see them.

use std::fmt::Write;

use lifeboat::error::shown::markup;

use crate::report::Report;
use crate::report::past::Past;
use crate::report::verdict::{Measure, Verdict, span};

/// Drills in the trend.
const TREND_MAX: usize = 8;

/// The class that colours a verdict.
pub fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::MissedObjective => "missed",
        Verdict::CouldNotRun => "unknown",
    }
}

/// A sign of its own shape for each verdict: a disc with a tick, an octagon with a cross, a triangle with an
/// exclamation mark, a broken ring with a question mark.
pub fn sign(class: &str) -> &'static str {
    match class {
        "passed" => {
            "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"11\" fill=\"currentColor\"/>\
             <path d=\"M6.5 12.5l3.7 3.7 7.3-8\" fill=\"none\" stroke=\"var(--paper)\" stroke-width=\"2.6\"/></svg>"
        }
        "failed" => {
            "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M7.5 1h9L23 7.5v9L16.5 23h-9L1 16.5v-9z\" fill=\"currentColor\"/>\
             <path d=\"M7.5 7.5l9 9m0-9l-9 9\" fill=\"none\" stroke=\"var(--paper)\" stroke-width=\"2.8\"/></svg>"
        }
        "missed" => {
            "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M12 1.5L23.5 22H.5z\" fill=\"currentColor\"/>\
             <path d=\"M12 8.5v6.5m0 2.2v2.3\" fill=\"none\" stroke=\"var(--paper)\" stroke-width=\"2.6\"/></svg>"
        }
        _ => {
            "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><circle cx=\"12\" cy=\"12\" r=\"10.5\" fill=\"none\" stroke=\"currentColor\" \
             stroke-width=\"2\" stroke-dasharray=\"4 2.6\"/><path d=\"M8.8 9.3a3.2 3.2 0 1 1 4.6 2.9c-1 .5-1.4 1.1-1.4 2.1m0 2v2.2\" \
             fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.3\"/></svg>"
        }
    }
}

/// A measured value against its objective: the bar is what was measured, the line the objective.
pub fn gauge(name: &str, measure: Measure) -> String {
    let measured = measure.measured_ms.unwrap_or(0) as f64;
    let objective = measure.objective_ms.map(|ms| ms as f64);
    let whole = (measured.max(objective.unwrap_or(0.0)) * 1.15).max(1.0);
    let (width, mark) = (1000.0 * measured / whole, objective.map(|objective| 1000.0 * objective / whole));
    let label = match (measure.measured_ms, measure.objective_ms) {
        (None, _) => format!("{name} was not measured"),
        (Some(ms), None) => format!("{name} {}, no objective", span(ms)),
        (Some(ms), Some(objective)) => format!("{name} {} of at most {}", span(ms), span(objective)),
    };
    let mut out = format!(
        "<svg class=\"gauge\" viewBox=\"0 0 1000 22\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
         <rect class=\"track\" y=\"5\" width=\"1000\" height=\"12\"/>",
        markup(&label)
    );
    match mark.filter(|mark| *mark < width) {
        None => drop(write!(out, "<rect class=\"fill\" y=\"5\" width=\"{width:.1}\" height=\"12\"/>")),
        Some(mark) => drop(write!(
            out,
            "<rect class=\"fill\" y=\"5\" width=\"{mark:.1}\" height=\"12\"/>\
             <rect class=\"over\" x=\"{mark:.1}\" y=\"5\" width=\"{:.1}\" height=\"12\"/>",
            width - mark
        )),
    }
    if let Some(mark) = mark {
        let _ = write!(
            out,
            "<line class=\"mark\" x1=\"{mark:.1}\" x2=\"{mark:.1}\" y1=\"0\" y2=\"22\" vector-effect=\"non-scaling-stroke\"/>"
        );
    }
    out + "</svg>"
}

/// The last drills of the tenant, the oldest first: the height is the time to recover, the sign the verdict.
pub fn trend(report: &Report) -> String {
    let own = Past {
        drill: report.drill.clone(),
        tenant: report.tenant.clone(),
        ended: report.ended,
        verdict: report.verdict,
        rpo: report.rpo,
        rto: report.rto,
        coverage: Some(report.coverage),
    };
    let mut drills: Vec<&Past> = report.history.iter().take(TREND_MAX - 1).rev().collect();
    drills.push(&own);
    let times = drills.iter().filter_map(|past| past.rto.measured_ms);
    let most = times.chain(report.rto.objective_ms).max().unwrap_or(1).max(1) as f64;
    let said: Vec<String> =
        drills.iter().map(|past| format!("{} {}", past.ended.strftime("%Y-%m-%d"), past.verdict)).collect();
    let mut out = format!(
        "<svg class=\"trend\" viewBox=\"0 0 340 128\" role=\"img\" aria-label=\"The last drills: {}\">",
        markup(&said.join(", "))
    );
    let (floor, tall) = (84.0, 66.0);
    let _ = write!(out, "<line x1=\"0\" x2=\"340\" y1=\"{floor}\" y2=\"{floor}\" stroke=\"var(--line)\"/>");
    let step = 340.0 / TREND_MAX as f64;
    for (at, past) in drills.iter().enumerate() {
        let (left, class) = (step * (TREND_MAX - drills.len() + at) as f64, class(past.verdict));
        let middle = left + step / 2.0;
        match past.rto.measured_ms {
            Some(ms) => {
                let height = (tall * ms as f64 / most).max(1.0);
                let (y, text) = (floor - height, floor - height - 4.0);
                let fill = if past.rto.met() == Some(false) { "over" } else { "fill" };
                let _ = write!(
                    out,
                    "<rect class=\"{fill}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"22\" height=\"{height:.1}\"/>\
                     <text x=\"{middle:.1}\" y=\"{text:.1}\" text-anchor=\"middle\">{}</text>",
                    middle - 11.0,
                    short(ms)
                );
            }
            None => drop(write!(
                out,
                "<rect class=\"hollow\" x=\"{:.1}\" y=\"54\" width=\"22\" height=\"30\"/>",
                middle - 11.0
            )),
        }
        let sign = sign(class).replacen(
            "<svg ",
            &format!(
                "<svg class=\"tone {class}\" x=\"{:.1}\" y=\"90\" width=\"16\" height=\"16\" ",
                middle - 8.0
            ),
            1,
        );
        let day = past.ended.strftime("%m-%d");
        let _ = write!(out, "{sign}<text x=\"{middle:.1}\" y=\"122\" text-anchor=\"middle\">{day}</text>");
    }
    if let Some(objective) = report.rto.objective_ms {
        let y = floor - tall * objective as f64 / most;
        let _ = write!(
            out,
            "<line x1=\"0\" x2=\"340\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"var(--ink)\" stroke-dasharray=\"5 3\"/>"
        );
    }
    out + "</svg>"
}

/// A span for a narrow place: its largest unit.
fn short(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s @ 7200..=172_799 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// When a stage ran, as a bar within the whole drill. Times in milliseconds.
pub fn bar(begin: u64, ms: u64, whole: u64) -> String {
    let scale = 1000.0 / whole.max(1) as f64;
    let (x, width) = (begin as f64 * scale, (ms as f64 * scale).max(4.0));
    format!(
        "<svg viewBox=\"0 0 1000 14\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" y=\"6\" \
         width=\"1000\" height=\"2\"/><rect class=\"fill\" x=\"{:.1}\" width=\"{width:.1}\" height=\"14\"/></svg>",
        x.min(1000.0 - width)
    )
}

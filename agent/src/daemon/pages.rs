//! The agent's pages: whether its own loop runs, whether it can do its work, and the metrics.
//!
//! Liveness (`/livez`) depends on nothing outside: restarting an agent does not bring back a bucket.
//! Readiness (`/readyz`, and `/healthz` for monitoring) names everything that keeps it from its work.

use std::sync::Arc;
use std::time::Duration;

use super::http::{Page, Pages};
use super::metrics::Metrics;

/// The scheduler is stuck if its loop has not run for this long; it runs every 20 s, also during a job.
const QUIET_MAX: Duration = Duration::from_secs(120);

const PLAIN: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What keeps the agent from its work, one line each.
pub type Unwell = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The pages. `notes` are not faults, but worth a line on the page.
pub fn pages(metrics: Arc<Metrics>, unwell: Unwell, notes: Vec<String>) -> Pages {
    Arc::new(move |path| {
        let stuck = stuck(metrics.quiet());
        match path {
            "/livez" => Some(well_or_not(stuck.into_iter().collect(), &[])),
            "/readyz" | "/healthz" => Some(well_or_not(stuck.into_iter().chain(unwell()).collect(), &notes)),
            "/metrics" => {
                metrics.ready(stuck.is_none() && unwell().is_empty());
                Some(Page { is_well: true, kind: OPEN_METRICS, text: metrics.page() })
            }
            _ => None,
        }
    })
}

fn stuck(quiet: Option<Duration>) -> Option<String> {
    match quiet {
        Some(quiet) if quiet <= QUIET_MAX => None,
        Some(_) => Some("the scheduler is stuck".to_owned()),
        None => Some("the scheduler has not started yet".to_owned()),
    }
}

/// `ok` or the problems, then the notes, one line each.
fn well_or_not(problems: Vec<String>, notes: &[String]) -> Page {
    let is_well = problems.is_empty();
    let first = is_well.then(|| "ok".to_owned());
    let notes = notes.iter().map(|note| format!("note: {note}"));
    let lines: Vec<String> = first.into_iter().chain(problems).chain(notes).collect();
    Page { is_well, kind: PLAIN, text: lines.join("\n") + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::daemon::metrics;

    #[test]
    fn an_agent_that_lives_and_cannot_work_says_so_and_is_not_started_again() {
        let metrics = Arc::new(Metrics::on(metrics::page()));
        let unwell: Unwell = Arc::new(|| vec!["the bucket is away".to_owned()]);
        let pages = pages(metrics.clone(), unwell, vec!["no schedule".to_owned()]);
        let told = |path| pages(path).map(|page| (page.is_well, page.text));
        assert_eq!(told("/livez"), Some((false, "the scheduler has not started yet\n".to_owned())));
        metrics.alive(clock::now());
        assert_eq!(told("/livez"), Some((true, "ok\n".to_owned())));
        let expected = Some((false, "the bucket is away\nnote: no schedule\n".to_owned()));
        assert_eq!((told("/readyz"), told("/healthz")), (expected.clone(), expected));
        assert!(told("/metrics").unwrap().1.contains("lifeboat_ready 0\n"));
        assert_eq!(told("/"), None);
        assert!(stuck(Some(QUIET_MAX + Duration::from_secs(1))).is_some());
    }
}

//! Finds the snapshot that is drilled.

use futures::future::BoxFuture;
use lifeboat::clock;
use lifeboat::error::Result;

use crate::drill::stage::Stage;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::tenants::TenantPart;
use crate::report::verdict::ms;
use crate::setup::Chosen;
use crate::snapshot::Replay;

/// Awaits the choice, so that its time counts for the RTO.
pub struct Choose<'a>(pub BoxFuture<'a, Result<Chosen>>);

impl Stage for Choose<'_> {
    const NAME: &'static str = "choose";
    type Output = Chosen;

    async fn run(self, report: &mut Report) -> Result<(Chosen, String)> {
        let chosen = self.0.await?;
        let snapshot = &chosen.snapshot;
        let note = match snapshot.replayed_to {
            Some(Replay::Lsn { lsn, timeline }) => {
                format!("the point at {lsn} on timeline {timeline}, from {}", snapshot.id)
            }
            Some(Replay::Time(time)) => {
                let seed = chosen.seed.map_or_else(String::new, |seed| format!(" (random, seed {seed})"));
                format!("{}{seed}, from {} and WAL", clock::text(time), snapshot.id)
            }
            Some(Replay::Latest) => format!("the end of the stored WAL, from {}", snapshot.id),
            None => {
                let release = snapshot.release.as_ref().map(|release| format!(", release {release}"));
                let release = release.unwrap_or_default();
                format!("snapshot {}{release}, state of {}", snapshot.id, clock::text(snapshot.point))
            }
        };
        for skipped in &chosen.skipped {
            let what = format!("{}: {}", skipped.what, skipped.why);
            report.findings.push(Finding::new(Self::NAME, State::NotRun, what));
        }
        report.rpo.measured_ms = chosen.age.map(ms);
        report.rpo_worst = chosen.worst;
        report.seed = chosen.seed;
        report.snapshot = Some(snapshot.clone());
        report.tenants =
            chosen.whole.iter().flat_map(|whole| &whole.tenants).map(TenantPart::expected).collect();
        Ok((chosen, note))
    }
}

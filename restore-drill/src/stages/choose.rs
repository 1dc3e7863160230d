//! Finds the snapshot that is drilled.

use futures::future::BoxFuture;
use lifeboat::clock;
use lifeboat::error::Result;

use crate::drill::stage::{Stage, Stop};
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::verdict::ms;
use crate::setup::Chosen;
use crate::snapshot::WalPoint;

/// Awaits the choice, so that its time counts for the RTO.
pub struct Choose<'a>(pub BoxFuture<'a, Result<Chosen>>);

impl Stage for Choose<'_> {
    const NAME: &'static str = "choose";
    const STOP: Stop = Stop::Drop;
    type Output = Chosen;

    async fn run(self, report: &mut Report) -> Result<(Chosen, String)> {
        let chosen = self.0.await?;
        let snapshot = &chosen.snapshot;
        let note = match snapshot.replayed_to {
            Some(WalPoint { lsn, timeline }) => {
                format!("the point at {lsn} on timeline {timeline}, from {}", snapshot.id)
            }
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
        // Of a point in the WAL, only its place is known. A point in the future comes from a source whose
        // clock is ahead: it counts as zero.
        if snapshot.replayed_to.is_none() {
            let age = report.begun.duration_since(snapshot.point);
            report.rpo.measured_ms = Some(ms(age.try_into().unwrap_or_default()));
        }
        report.snapshot = Some(snapshot.clone());
        Ok((chosen, note))
    }
}

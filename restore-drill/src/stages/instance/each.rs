//! Runs the stage of a tenant's drill for every tenant of an instance: one stage, with the findings of each.

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Kind, Result};
use lifeboat::names::{SnapshotId, TenantName, counted};

use crate::drill::stage::{Stage, Stop};
use crate::place::Room;
use crate::report::Report;
use crate::report::finding::{Finding, State, one_line};
use crate::setup::{Chosen, Setup};

/// Notes of tenants in the line of a stage: those with problems first.
const NOTES_MAX: usize = 8;
const UNFIT: &str = "an earlier stage of this tenant could not be run to its end";

/// A tenant of the restored instance: what its stages need to know.
pub struct Tenant {
    /// Its name, which is that of its database.
    pub name: TenantName,
    /// Its database and its files.
    pub room: Room,
    /// The plan, for this tenant.
    pub setup: Setup,
    /// The restored state, and its dump before.
    pub chosen: Chosen,
    /// The backup of its filestore, and its moment.
    pub filestore: Option<(SnapshotId, Timestamp)>,
}

impl Tenant {
    /// A report into which its stages write.
    pub fn own_report(&self) -> Report {
        Report::new(&self.setup.plan, Some(&self.name), String::new(), clock::now())
    }
}

/// A stage for each tenant.
pub struct Each<'a, S> {
    /// The tenants.
    pub tenants: &'a [Tenant],
    /// Their own reports, in the same order.
    pub own: &'a mut [Report],
    /// Their stages, in the same order.
    pub stages: Vec<S>,
    /// Tenants that it is not run for, in the same order: an earlier stage that it needs ended with an error.
    pub unfit: &'a mut [bool],
    /// Whether an error of this one makes a tenant unfit, too.
    pub needed: bool,
}

impl<S: Stage> Stage for Each<'_, S> {
    const NAME: &'static str = S::NAME;
    const STOP: Stop = S::STOP;
    const IN_RTO: bool = S::IN_RTO;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Each { tenants, own, stages, unfit, needed } = self;
        let mut notes: Vec<(State, String)> = Vec::new();
        for (((tenant, own), stage), unfit) in tenants.iter().zip(own).zip(stages).zip(unfit) {
            if *unfit {
                let mut finding = Finding::new(S::NAME, State::NotRun, UNFIT);
                finding.tenant = Some(tenant.name.clone());
                report.findings.push(finding);
                continue;
            }
            let (note, error) = match stage.run(own).await {
                Ok((_, note)) => (note, None),
                Err(e) if e.kind() == Kind::Interrupted => return Err(e),
                Err(e) => {
                    *unfit = needed;
                    (one_line(&e), Some(Finding::of_error(S::NAME, &e)))
                }
            };
            let mut found = std::mem::take(&mut own.findings);
            found.extend(error);
            let worst = found.iter().map(|finding| finding.state).max().unwrap_or(State::Done);
            for mut finding in found {
                finding.tenant = Some(tenant.name.clone());
                report.findings.push(finding);
            }
            if let Some(part) = report.tenants.iter_mut().find(|part| part.tenant == tenant.name) {
                part.take(own);
            }
            notes.push((worst, format!("{}: {note}", tenant.name)));
        }
        Ok(((), note(notes)))
    }
}

fn note(mut notes: Vec<(State, String)>) -> String {
    let all = notes.len();
    notes.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let shown: Vec<String> = notes.into_iter().take(NOTES_MAX).map(|(_, note)| note).collect();
    match all.saturating_sub(NOTES_MAX) {
        0 if all == 0 => "there is no tenant".to_owned(),
        0 => shown.join("; "),
        more => format!("{}; and {} more", shown.join("; "), counted(more, "tenant")),
    }
}

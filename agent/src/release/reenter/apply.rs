//! Enters what was planned, one document after the other.

use super::by_kind::{create, finish};
use super::exported::Exported;
use super::ground::Ground;
use super::kind::Kind;
use super::plan::{Action, Plan};
use super::read::Export;
use super::report::{Outcome, Report, ReportedDocument};
use super::stop::Stop;
use crate::error::Error;

/// Enters them. Idempotent: what a run before this one entered is only finished and compared. An error ends
/// it; the report then says what was done up to there, and running again is safe.
pub async fn apply(export: &Export, mut plan: Plan) -> (Report, Option<Error>) {
    let mut report = Report::empty(export, &plan, false);
    let mut stopped: Option<Error> = None;
    for step in &plan.steps {
        let Some(document) = export.document(step.kind, step.at) else { continue };
        if stopped.is_some() {
            report.documents.push(ReportedDocument::of(step.kind, document, Outcome::NotReached));
            continue;
        }
        let one = match &step.action {
            Action::LeaveOut(why) => failed(step.kind, document, Outcome::LeftOut, why.clone()),
            Action::Refuse(why) => failed(step.kind, document, Outcome::Refused, why.clone()),
            action => {
                let (one, error) = enter(step.kind, document, action, &mut plan.ground).await;
                stopped = error;
                one
            }
        };
        let new = one.new_name.as_deref().unwrap_or_default();
        tracing::info!(outcome = ?one.outcome, "{} {} {new}", step.kind.word(), one.old_name);
        report.documents.push(one);
    }
    report.stopped = stopped.as_ref().map(Error::line);
    (report, stopped)
}

fn failed(kind: Kind, document: &Exported, outcome: Outcome, why: String) -> ReportedDocument {
    ReportedDocument { why: Some(why), ..ReportedDocument::of(kind, document, outcome) }
}

async fn enter(
    kind: Kind,
    document: &Exported,
    action: &Action,
    ground: &mut Ground,
) -> (ReportedDocument, Option<Error>) {
    let (made, outcome) = match action {
        Action::Finish(id) => (Ok(*id), Outcome::EnteredBefore),
        Action::Enter(draft) => (create(draft, document, ground).await, Outcome::Entered),
        Action::LeaveOut(why) => (Stop::left_out(why), Outcome::LeftOut),
        Action::Refuse(why) => (Stop::refused(why), Outcome::Refused),
    };
    let id = match made {
        Ok(id) => id,
        Err(stop) => return not_entered(kind, document, stop, Outcome::Refused),
    };
    ground.enter(kind, document.row.id, id);
    match finish(kind, document, id, ground).await {
        Ok(done) => (ReportedDocument::of(kind, document, outcome).finished(id, done), None),
        Err(stop) => {
            let (one, error) = not_entered(kind, document, stop, Outcome::Unfinished);
            (ReportedDocument { new_id: Some(id), ..one }, error)
        }
    }
}

fn not_entered(
    kind: Kind,
    document: &Exported,
    stop: Stop,
    outcome: Outcome,
) -> (ReportedDocument, Option<Error>) {
    match stop {
        Stop::Refused(why) => (failed(kind, document, outcome, why), None),
        Stop::LeftOut(why) => (failed(kind, document, Outcome::LeftOut, why), None),
        Stop::Broken(error) => (failed(kind, document, Outcome::NotKnown, error.line()), Some(error)),
    }
}

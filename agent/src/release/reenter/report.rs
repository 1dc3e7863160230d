//! What became of each document.

use std::collections::BTreeMap;

use serde::Serialize;

use super::changes::NotEntered;
use super::exported::Exported;
use super::finished::{Compared, Finished};
use super::kind::Kind;
use super::payments::reconcile;
use super::plan::{Action, Plan};
use super::read::Export;
use crate::names::{ReleaseId, TenantName};
use crate::release::salvage::found::Paid;
use crate::release::salvage::summary::NotExported;

/// The version of the report.
const FORMAT: u32 = 1;
/// Why documents of other kinds are not entered.
const OTHERS: &str = "enter documents of this kind by hand";

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It would be entered: only planned.
    ToEnter,
    /// It was entered by this run.
    Entered,
    /// It was entered before.
    EnteredBefore,
    /// It was created, and something after that failed.
    Unfinished,
    /// It is not to be entered.
    LeftOut,
    /// It cannot be entered.
    Refused,
    /// Odoo's answer did not arrive: run again to know.
    NotKnown,
    /// The run ended before it.
    NotReached,
}

/// A document.
#[derive(Clone, Debug, Serialize)]
pub struct ReportedDocument {
    /// Its kind.
    pub kind: Kind,
    /// Its `id` in the source.
    pub old_id: i64,
    /// Its number there.
    pub old_name: String,
    /// Its `id` in the tenant.
    pub new_id: Option<i64>,
    /// Its number there.
    pub new_name: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, if it was not entered.
    pub why: Option<String>,
    /// Its total in the source, with the currency; negative where money goes out.
    pub total: Option<String>,
    /// The invoices that a payment paid in the source: it is reconciled with none. `None` if the export does
    /// not know them, and for other kinds.
    pub paid: Option<Vec<Paid>>,
    /// What was compared.
    pub compared: Vec<Compared>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl ReportedDocument {
    /// Nothing is known yet.
    pub fn of(kind: Kind, document: &Exported, outcome: Outcome) -> ReportedDocument {
        let total = document.total.as_ref();
        let is_there = !matches!(outcome, Outcome::LeftOut | Outcome::Refused | Outcome::NotReached);
        let note = (kind == Kind::Payment && is_there).then(|| reconcile(document)).flatten();
        ReportedDocument {
            kind,
            old_id: document.row.id,
            old_name: document.name.clone(),
            new_id: None,
            new_name: None,
            outcome,
            why: None,
            total: total.map(|total| format!("{} {}", total.amount, total.currency)),
            paid: document.paid.clone(),
            compared: Vec::new(),
            notes: note.into_iter().collect(),
        }
    }

    /// With what it is in the tenant.
    pub fn finished(mut self, id: i64, done: Finished) -> ReportedDocument {
        self.new_id = Some(id);
        self.new_name = Some(done.name);
        self.compared = done.compared;
        self.notes.extend(done.notes);
        self
    }

    /// What differs.
    pub fn differs(&self) -> impl Iterator<Item = &Compared> {
        self.compared.iter().filter(|one| !one.agrees())
    }

    /// Whether nobody has to look at it.
    pub fn is_fine(&self) -> bool {
        let is_there = matches!(
            self.outcome,
            Outcome::ToEnter | Outcome::Entered | Outcome::EnteredBefore | Outcome::LeftOut
        );
        is_there && self.differs().next().is_none()
    }
}

/// Documents of a kind that is not entered.
#[derive(Clone, Debug, Serialize)]
pub struct OtherKind {
    /// The name of its file.
    pub kind: &'static str,
    /// How many there are.
    pub count: u64,
    /// Why they are not entered.
    pub why: &'static str,
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    format: u32,
    /// The release.
    pub release: ReleaseId,
    /// The tenant.
    pub tenant: TenantName,
    /// Where Odoo answers.
    pub url: String,
    /// Its version.
    pub odoo: String,
    /// The database.
    pub database: String,
    /// Whether this is only what would be done.
    pub dry_run: bool,
    /// The documents, in order.
    pub documents: Vec<ReportedDocument>,
    /// Documents of other kinds.
    pub others: Vec<OtherKind>,
    /// What existed at the point and differs, and master data: not entered.
    pub changed: Vec<NotEntered>,
    /// How many more differ than the export lists.
    pub changed_not_listed: u64,
    /// What the export does not have.
    pub not_exported: Vec<NotExported>,
    /// Why the run ended before its end.
    pub stopped: Option<String>,
}

impl Report {
    /// Without documents.
    pub(super) fn empty(export: &Export, plan: &Plan, dry_run: bool) -> Report {
        let client = plan.ground.target.client();
        let others = export.others.iter().filter(|(_, count)| *count > 0);
        Report {
            format: FORMAT,
            release: export.head.release.clone(),
            tenant: export.head.tenant.clone(),
            url: client.url().to_string(),
            odoo: client.version().1.to_owned(),
            database: client.database().to_owned(),
            dry_run,
            documents: Vec::new(),
            others: others.map(|(kind, count)| OtherKind { kind, count: *count, why: OTHERS }).collect(),
            changed: export.changed.iter().cloned().map(NotEntered::of).collect(),
            changed_not_listed: export.missing.not_listed(),
            not_exported: export.missing.not_exported.clone(),
            stopped: None,
        }
    }

    /// What a plan would do.
    pub fn of_plan(export: &Export, plan: &Plan) -> Report {
        let mut report = Report::empty(export, plan, true);
        for step in &plan.steps {
            let Some(document) = export.document(step.kind, step.at) else { continue };
            let (outcome, why, id) = match &step.action {
                Action::Enter(_) => (Outcome::ToEnter, None, None),
                Action::Finish(id) => (Outcome::EnteredBefore, None, Some(*id)),
                Action::LeaveOut(why) => (Outcome::LeftOut, Some(why.clone()), None),
                Action::Refuse(why) => (Outcome::Refused, Some(why.clone()), None),
            };
            let one = ReportedDocument::of(step.kind, document, outcome);
            report.documents.push(ReportedDocument { why, new_id: id, ..one });
        }
        report
    }

    /// How many documents of each kind have which outcome.
    pub fn counts(&self) -> BTreeMap<Kind, BTreeMap<Outcome, u64>> {
        let mut counts: BTreeMap<Kind, BTreeMap<Outcome, u64>> = BTreeMap::new();
        for one in &self.documents {
            *counts.entry(one.kind).or_default().entry(one.outcome).or_default() += 1;
        }
        counts
    }

    /// Whether everything that was written after the point is in the tenant, or would be, and nobody has to
    /// look.
    pub fn is_complete(&self) -> bool {
        self.stopped.is_none()
            && self.others.is_empty()
            && self.changed.is_empty()
            && self.changed_not_listed == 0
            && self.not_exported.is_empty()
            && self.documents.iter().all(ReportedDocument::is_fine)
    }
}

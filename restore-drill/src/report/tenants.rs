//! The tenants of a whole instance in its report: each with its own result.

use lifeboat::names::{SnapshotId, TenantName};
use lifeboat::odoo::changes::{Change, Weight};
use lifeboat::odoo::neutralize::Unknowns;
use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::integrity::Integrity;
use super::verdict::{Measure, Verdict, judge};
use super::{Report, Summary};
use crate::catalogue::run::Outcome;
use crate::setup::OfTenant;

/// One tenant of a drilled instance. What was found in it is also in the findings of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantPart {
    /// Whose.
    pub tenant: TenantName,
    /// The result for this tenant: of its own findings, and of those about the whole instance.
    pub verdict: Verdict,
    /// The reasons, worst first; empty if it passed.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The dump that it was compared with.
    #[serde(default)]
    pub before: Option<SnapshotId>,
    /// Its files, and its tables and indexes.
    #[serde(default)]
    pub integrity: Option<Integrity>,
    /// The outcome of every check.
    #[serde(default)]
    pub checks: Vec<Outcome>,
    /// The number of checks by outcome.
    #[serde(default)]
    pub summary: Summary,
    /// What was lost or changed since the dump before, heaviest first.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// What in the copy could act outside, and nobody could judge.
    #[serde(default)]
    pub unknown: Unknowns,
}

impl TenantPart {
    /// A tenant of which nothing is known yet.
    pub fn new(tenant: TenantName, before: Option<SnapshotId>) -> TenantPart {
        TenantPart {
            tenant,
            verdict: Verdict::CouldNotRun,
            reasons: Vec::new(),
            before,
            integrity: None,
            checks: Vec::new(),
            summary: Summary::default(),
            changes: Vec::new(),
            unknown: Unknowns::default(),
        }
    }

    /// A tenant that is stored.
    pub fn expected((tenant, stored): (&TenantName, &OfTenant)) -> TenantPart {
        TenantPart::new(tenant.clone(), stored.older.last().map(|dump| dump.id.clone()))
    }

    /// It as a row of a table.
    pub fn row(&self) -> Row<'_> {
        let hard = self.summary.hard;
        let files = self.integrity.as_ref();
        let lost = self.changes.iter().filter(|change| change.weight == Weight::Lost).count();
        Row {
            word: self.verdict.words(),
            hard: match hard.all - hard.skipped {
                0 => "none ran".to_owned(),
                ran => format!("{} of {ran}", hard.passed + hard.accepted),
            },
            files: files.map_or("not read".to_owned(), |found| {
                format!("{} of {}", found.files_right + found.empty_absent, found.files)
            }),
            before: match (&self.before, lost) {
                (None, _) => "no dump before".to_owned(),
                (_, 0) => format!("{} changes", self.changes.len()),
                (_, lost) => format!("{lost} lost"),
            },
            first: self.reasons.first().map_or("", String::as_str),
        }
    }

    /// Takes over what the stages wrote into this tenant's own report.
    pub fn take(&mut self, own: &Report) {
        self.integrity.clone_from(&own.integrity);
        self.checks.clone_from(&own.checks);
        self.summary = own.summary;
        self.changes.clone_from(&own.changes);
        self.unknown.clone_from(&own.unknown);
    }
}

/// A tenant in a table of all of them. Texts may contain what the tenant wrote.
pub struct Row<'a> {
    /// Its verdict.
    pub word: &'static str,
    /// Hard checks that passed.
    pub hard: String,
    /// Files that are right.
    pub files: String,
    /// The comparison with the dump before.
    pub before: String,
    /// Its first reason, or nothing.
    pub first: &'a str,
}

/// Judges each tenant of an instance, puts the worst first, and adds their numbers up.
pub fn finish(report: &mut Report) {
    let measured =
        |measure: Measure| if measure.measured_ms.is_some() { measure } else { Measure::default() };
    let (rpo, rto) = (measured(report.rpo), measured(report.rto));
    for part in &mut report.tenants {
        let about = |finding: &&Finding| finding.tenant.as_ref().is_none_or(|whose| *whose == part.tenant);
        let own: Vec<Finding> = report.findings.iter().filter(about).cloned().collect();
        (part.verdict, part.reasons) = judge(&own, rpo, rto);
        report.summary.add(&part.summary);
        if let Some(found) = &part.integrity {
            report.integrity.get_or_insert_default().add(found, part.tenant.as_str());
        }
    }
    report.tenants.sort_by(|a, b| (a.verdict.rank(), &a.tenant).cmp(&(b.verdict.rank(), &b.tenant)));
}

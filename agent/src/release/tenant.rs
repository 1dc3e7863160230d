//! One tenant in the plan of a rollback: what is known of it, and what follows.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::inventory::plan::Plan;
use crate::names::TenantName;
use crate::odoo::baseline::Versioned;
use crate::odoo::business::{Document, Numbering};
use crate::odoo::counters::Counters;
use crate::release::commands::TenantWay;
use crate::release::decision::{Reason, Way};
use crate::release::forecast::Takes;
use crate::release::numbers::NumbersUsed;
use crate::release::statistics::{Touched, TouchedTable};
use crate::release::written::Written;

/// What is known of one tenant.
#[derive(Debug)]
pub struct TenantInput {
    /// Which.
    pub tenant: TenantName,
    /// Its counters at the point, where this host keeps them; else why it does not.
    pub point: Result<Counters, String>,
    /// What it is now.
    pub now: Looked,
    /// The plan of its restore to the point; `Err` says why there is none.
    pub restore: Result<Plan, String>,
}

/// A look at a tenant.
#[derive(Debug)]
pub enum Looked {
    /// This is it.
    Seen(Box<TenantNow>),
    /// The server says that there is no such database.
    Gone,
    /// It could not be read, for this reason.
    NotRead(String),
}

/// A tenant now.
#[derive(Debug)]
pub struct TenantNow {
    /// Its counters.
    pub counters: Counters,
    /// Its installed modules.
    pub modules: Result<Vec<Versioned>, String>,
    /// What its numbers are for, where that could be read.
    pub numbering: Option<Numbering>,
    /// Its documents.
    pub written: BTreeMap<Document, DocumentCount>,
    /// What the database of the point is called now, if this is another one.
    pub kept_as: Option<String>,
}

/// What was written of a kind of document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "known", rename_all = "kebab-case")]
pub enum DocumentCount {
    /// The module is not installed.
    NotInstalled,
    /// This much.
    Yes(Box<Written>),
    /// It could not be read.
    No {
        /// Why not.
        why: String,
    },
}

/// The plan of one tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TenantPlan {
    /// Which.
    pub tenant: TenantName,
    /// Its way back.
    pub way: Way,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What is lost, by kind; empty if the tenant could not be read.
    pub written: BTreeMap<Document, DocumentCount>,
    /// Whether each document is on the right side of the point: not if the counters of the point are lost, or
    /// were taken after it.
    pub is_exact: bool,
    /// How long after the point its counters were taken; `None` if before it, as they should be.
    pub late_seconds: Option<f64>,
    /// Odoo's numbers that were given out; `None` if that is not known.
    pub numbers: Option<Vec<NumbersUsed>>,
    /// Rows that were updated and deleted.
    pub touched: Touched,
    /// From what it is restored; `None` says `restore_not_known`.
    pub restore: Option<Plan>,
    /// Why there is no plan of its restore.
    pub restore_not_known: Option<String>,
    /// How long its restore takes.
    pub takes: Takes,
}

impl TenantPlan {
    /// What its steps depend on.
    pub fn way(&self) -> TenantWay<'_> {
        let is_missing = self.reasons.contains(&Reason::Gone);
        let is_unchanged = match &self.touched {
            Touched::No { .. } => false,
            Touched::Yes { tables } => !tables.iter().any(TouchedTable::lost_rows),
        };
        TenantWay { tenant: &self.tenant, way: self.way, is_missing, is_unchanged }
    }
}

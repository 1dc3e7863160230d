//! The plan of a rollback: a pure function, and a value that can be printed and kept.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive::evidence::predicate::{Checkpoint, Point, TenantState};
use crate::clock::Timestamp;
use crate::names::{InstanceName, ReleaseId};
use crate::odoo::business::Document;
use crate::odoo::counters::Counters;
use crate::release::commands::{Step, TenantWay, steps};
use crate::release::decision::{Reason, Way, modules, way};
use crate::release::forecast::{MeasuredRestore, takes};
use crate::release::numbers::used;
use crate::release::schema;
use crate::release::side::PointOf;
use crate::release::statistics::{Touched, touched};
use crate::release::tenant::{DocumentCount, Looked, TenantInput, TenantNow, TenantPlan};
use crate::release::thoughts::to_think_of;
use crate::release::written::Counting;

/// The plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RollbackPlan {
    /// The release that is undone.
    pub release: ReleaseId,
    /// Whose.
    pub instance: InstanceName,
    /// The point to go back to; `None` where the checkpoint took dumps.
    pub point: Option<Point>,
    /// The time of the state that comes back, by the server's clock.
    pub point_time: Timestamp,
    /// When this was computed.
    pub computed: Timestamp,
    /// The way of the tenant that needs most.
    pub way: Way,
    /// Each tenant, sorted by name.
    pub tenants: Vec<TenantPlan>,
    /// How long all restores take, one after the other; `None` if one of them is not known.
    pub seconds: Option<f64>,
    /// What is in no database and goes back with none.
    pub think_of: Vec<String>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What is wrong or not exact.
    pub warnings: Vec<String>,
}

impl RollbackPlan {
    /// Whether everything that decides is known: the way, the restore, and every count.
    pub fn is_known(&self) -> bool {
        let is_known = |tenant: &TenantPlan| {
            let counted = !tenant.written.values().any(|count| matches!(count, DocumentCount::No { .. }));
            tenant.way != Way::NotKnown && tenant.restore.is_some() && counted
        };
        self.tenants.iter().all(is_known)
    }
}

/// The time of the state that comes back for a tenant.
pub fn point_time(checkpoint: &Checkpoint, counters: Option<&Counters>) -> Timestamp {
    let point = checkpoint.point.as_ref().map(|point| point.time);
    // Without a point there are dumps, each of a moment after its counters.
    point.or_else(|| counters.map(|counters| counters.taken)).unwrap_or(checkpoint.begun)
}

/// Begins to count the documents of a kind.
pub fn counting(checkpoint: &Checkpoint, point: Option<&Counters>, document: Document) -> Counting {
    let time = point_time(checkpoint, point);
    Counting::new(document, PointOf::new(time, point, document.table()))
}

/// The plan.
pub fn plan(
    checkpoint: &Checkpoint,
    tenants: Vec<TenantInput>,
    measured: &[MeasuredRestore],
    now: Timestamp,
) -> RollbackPlan {
    let mut plans: Vec<TenantPlan> =
        tenants.into_iter().map(|tenant| one(checkpoint, tenant, measured)).collect();
    plans.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let ways: Vec<TenantWay<'_>> = plans.iter().map(TenantPlan::way).collect();
    let seconds = plans.iter().map(|plan| plan.takes.seconds()).sum();
    RollbackPlan {
        release: checkpoint.release.id.clone(),
        instance: checkpoint.origin.instance.clone(),
        point: checkpoint.point.clone(),
        point_time: point_time(checkpoint, None),
        computed: now,
        way: plans.iter().map(|plan| plan.way).max().unwrap_or(Way::NotKnown),
        think_of: to_think_of(checkpoint, &plans),
        steps: steps(checkpoint, &ways),
        warnings: warnings(checkpoint, &plans),
        seconds,
        tenants: plans,
    }
}

fn one(checkpoint: &Checkpoint, input: TenantInput, measured: &[MeasuredRestore]) -> TenantPlan {
    let TenantInput { tenant, point, now, restore } = input;
    let state = checkpoint.tenants.iter().find(|state| state.tenant == tenant);
    let takes = takes(checkpoint, measured, &tenant);
    let (restore, restore_not_known) = match restore {
        Ok(plan) => (Some(plan), None),
        Err(why) => (None, Some(why)),
    };
    let mut plan = TenantPlan {
        tenant,
        way: Way::NotKnown,
        reasons: Vec::new(),
        written: BTreeMap::new(),
        is_exact: false,
        late_seconds: None,
        numbers: None,
        touched: Touched::No { why: "the database could not be read".to_owned() },
        restore,
        restore_not_known,
        takes,
    };
    match now {
        Looked::Gone => plan.reasons.push(Reason::Gone),
        Looked::NotRead(why) => plan.reasons.push(Reason::NotKnown { what: why }),
        Looked::Seen(now) => {
            plan.reasons = reasons(state, &point, &now);
            let point = point.as_ref().ok();
            plan.touched = touched(point, &now.counters);
            plan.numbers = used(point, &now.counters, now.numbering.as_ref());
            let late = point.map(|point| point.taken.duration_since(point_time(checkpoint, Some(point))));
            plan.late_seconds = late.filter(|late| late.is_positive()).map(|late| late.as_secs_f64());
            plan.is_exact =
                point.is_some_and(|point| point.settled_before.is_some()) && plan.late_seconds.is_none();
            plan.written = now.written;
        }
    }
    plan.way = way(&plan.reasons);
    plan
}

fn reasons(state: Option<&TenantState>, point: &Result<Counters, String>, now: &TenantNow) -> Vec<Reason> {
    let mut out = Vec::new();
    match (state, &now.modules) {
        (None, _) => {
            let what =
                "the checkpoint does not cover this tenant: its module versions at the point".to_owned();
            out.push(Reason::NotKnown { what });
        }
        (_, Err(why)) => out.push(Reason::NotKnown { what: format!("its modules: {why}") }),
        (Some(state), Ok(now)) => out.extend(modules(&state.modules, now)),
    }
    match point {
        Err(why) => out.push(Reason::NotKnown { what: format!("its tables at the point: {why}") }),
        Ok(point) => {
            if point.database_oid != now.counters.database_oid {
                out.push(Reason::Replaced { kept_as: now.kept_as.clone() });
            }
            out.extend(schema::changes(point, &now.counters).into_iter().map(Reason::Schema));
        }
    }
    out
}

fn warnings(checkpoint: &Checkpoint, plans: &[TenantPlan]) -> Vec<String> {
    let mut out = Vec::new();
    if checkpoint.point.is_none() {
        out.push("this checkpoint took dumps: each tenant goes back to the time of its own dump".to_owned());
    }
    let overridden: Vec<&str> = checkpoint
        .gates
        .iter()
        .filter(|gate| gate.overridden.is_some())
        .map(|gate| gate.gate.as_str())
        .collect();
    if !overridden.is_empty() {
        out.push(format!("gates were overridden at the checkpoint: {}", overridden.join(", ")));
    }
    for plan in plans {
        if let Some(why) = &plan.restore_not_known {
            out.push(format!("it is not known whether {} can be restored to the point: {why}", plan.tenant));
        }
        let tenant = &plan.tenant;
        match plan.late_seconds {
            Some(late) => out.push(format!(
                "the counters of {tenant} were taken {late:.1} s after the point: rows and numbers of that time \
                 are not counted, and rows of transactions that were open at the point perhaps not either"
            )),
            None if !plan.is_exact && !plan.written.is_empty() => out.push(format!(
                "the rows of {tenant} are counted by create_date alone: rows of transactions that were open at \
                 the point may be missing"
            )),
            None => {}
        }
    }
    out
}

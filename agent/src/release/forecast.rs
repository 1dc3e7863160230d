//! How long it takes to bring a tenant back: from restores that were measured, else it is not known.

use serde::Serialize;

use crate::archive::evidence::predicate::{Checkpoint, TenantState};
use crate::names::TenantName;

/// A restore that was measured, besides those in the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredRestore {
    /// Which tenant.
    pub tenant: TenantName,
    /// How long it took until the tenant could be used.
    pub seconds: f64,
    /// Where that is recorded, for people: `drill 20261120T…`.
    pub record: String,
}

/// How long a tenant takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "takes", rename_all = "kebab-case")]
pub enum Takes {
    /// This tenant was restored before.
    Measured {
        /// How long that took.
        seconds: f64,
        /// Where it is recorded.
        record: String,
    },
    /// Another tenant was restored before: its time, by the sizes of the two databases, and at least that.
    Scaled {
        /// How long it takes then.
        seconds: f64,
        /// Where the other is recorded.
        record: String,
    },
    /// The newest drill restored some tenant; its record here does not say which.
    Drill {
        /// How long that took.
        seconds: f64,
        /// The drill.
        record: String,
    },
    /// Nothing was measured.
    NotKnown,
}

impl Takes {
    /// The time, where there is one.
    pub fn seconds(&self) -> Option<f64> {
        match self {
            Takes::Measured { seconds, .. }
            | Takes::Scaled { seconds, .. }
            | Takes::Drill { seconds, .. } => Some(*seconds),
            Takes::NotKnown => None,
        }
    }
}

/// How long `tenant` takes: its own restores first, the rehearsal of this very checkpoint before all.
pub fn takes(checkpoint: &Checkpoint, measured: &[MeasuredRestore], tenant: &TenantName) -> Takes {
    let rehearsal = checkpoint.rehearsal.as_ref().map(|rehearsal| MeasuredRestore {
        tenant: rehearsal.tenant.clone(),
        seconds: rehearsal.restore_seconds,
        record: "the rehearsal of this checkpoint".to_owned(),
    });
    let all: Vec<&MeasuredRestore> = rehearsal.iter().chain(measured).collect();
    if let Some(own) = all.iter().find(|one| one.tenant == *tenant) {
        return Takes::Measured { seconds: own.seconds, record: own.record.clone() };
    }
    let bytes = |tenant: &TenantName| {
        let state = |one: &&TenantState| one.tenant == *tenant;
        checkpoint.tenants.iter().find(state).map(|state| state.database_bytes).filter(|bytes| *bytes > 0)
    };
    let scaled = all.iter().find_map(|one| {
        let factor = bytes(tenant)? as f64 / bytes(&one.tenant)? as f64;
        let record = format!("{} of {}, by size", one.record, one.tenant);
        Some(Takes::Scaled { seconds: one.seconds * factor.max(1.0), record })
    });
    let drill = || {
        let drill = checkpoint.drill.as_ref()?;
        Some(Takes::Drill { seconds: drill.rto_seconds?, record: format!("drill {}", drill.id) })
    };
    scaled.or_else(drill).unwrap_or(Takes::NotKnown)
}

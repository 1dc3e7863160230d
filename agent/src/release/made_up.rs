//! Made-up counters and checkpoints, for the tests of what follows from them.

use crate::archive::digest::Sha256;
use crate::archive::evidence::predicate::{
    self, Checkpoint, Files, Level, ModuleVersion, Point, Release, Scope, Scorecard, TenantState,
};
use crate::archive::manifest::Origin;
use crate::clock::Timestamp;
use crate::names::{Lsn, TenantName};
use crate::odoo::counters::{Counters, FORMAT, Last, Owner, SequenceCounters, TableCounters};

/// A moment, so many seconds after the beginning.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

/// Counters that were taken then, of no table.
pub fn counters(second: i64) -> Counters {
    Counters {
        format: FORMAT,
        database_oid: 5,
        taken: at(second),
        ended: at(second),
        server_started: at(-1000),
        settled_before: Some(at(second)),
        counts: true,
        counts_since: None,
        tables: Vec::new(),
        sequences: Vec::new(),
    }
}

/// A table with these columns.
pub fn table(name: &str, columns: &[(&str, &str)]) -> TableCounters {
    TableCounters {
        schema: "public".into(),
        name: name.into(),
        oid: name.bytes().map(i64::from).sum(),
        filenode: 1,
        pages: 1,
        rows: Some(1),
        inserted: 0,
        updated: 0,
        deleted: 0,
        columns: columns.iter().map(|(name, kind)| ((*name).into(), (*kind).into())).collect(),
    }
}

/// The sequence of a table's `id`, or one of Odoo's numbers.
pub fn sequence(name: &str, last: i64) -> SequenceCounters {
    let table = name.strip_suffix("_id_seq");
    let owner = |table: &str| Owner { schema: "public".into(), table: table.into(), column: "id".into() };
    SequenceCounters {
        schema: "public".into(),
        name: name.into(),
        oid: name.bytes().map(i64::from).sum(),
        owner: table.map(owner),
        increment: 1,
        cache: 1,
        last: Last::At(last),
    }
}

/// A checkpoint of release 7 at second 100, with these tenants; each has module `sale` 17.0.1.0.
pub fn checkpoint(tenants: &[&str]) -> Checkpoint {
    let digest = Sha256::of(b"");
    let name = |tenant: &&str| tenant.parse::<TenantName>().unwrap();
    let state = |tenant: &&str| TenantState {
        tenant: name(tenant),
        database_bytes: 1_000,
        odoo_version: Some("17.0.1.3".into()),
        dump: None,
        files: Files::default(),
        modules: vec![ModuleVersion { name: "sale".into(), version: Some("17.0.1.0".into()) }],
        module_changes: Vec::new(),
        baseline_sha256: digest,
    };
    Checkpoint {
        format: predicate::FORMAT,
        origin: Origin {
            repository: "r".into(),
            repository_sha256: digest,
            instance: "prod".parse().unwrap(),
            instance_sha256: digest,
        },
        release: Release {
            id: "7".parse().unwrap(),
            commit: None,
            image: Some("sha256:77".into()),
            tier: "standard".into(),
            approved_by: Vec::new(),
            migration_approved_by: Vec::new(),
            ticket: None,
            migrates: None,
        },
        scope: Scope { cohort: None, all: true, tenants: tenants.iter().map(name).collect() },
        begun: at(90),
        ended: at(101),
        point: Some(Point {
            name: "lifeboat_7".into(),
            lsn: Lsn(0x100),
            timeline: 1,
            time: at(100),
            system_identifier: "1".into(),
            server_version: "15.10".into(),
            stored: None,
            stored_after_seconds: None,
        }),
        base: None,
        tenants: tenants.iter().map(state).collect(),
        configuration: None,
        artifacts: Vec::new(),
        repositories: Vec::new(),
        recipients: Vec::new(),
        drill: None,
        rehearsal: None,
        gates: Vec::new(),
        rollback: Vec::new(),
        previous: None,
        scorecard: Scorecard {
            readiness: 100,
            risk: Level::Low,
            tenants_affected: 1,
            rollback_confidence: Level::High,
        },
        written_by: "test".into(),
    }
}

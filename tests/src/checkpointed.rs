//! A signed checkpoint without the job that makes one: counters of each tenant, a restore point, and the
//! evidence in the repository. And rows of business documents, made after it.

use std::path::PathBuf;

use lifeboat::archive::evidence::gate::{Gate, GateResult, Outcome};
use lifeboat::archive::evidence::key::EvidenceKey;
use lifeboat::archive::evidence::predicate::{
    self, Checkpoint, Files, Level, ModuleVersion, Point, Release, Scope, Scorecard, TenantState,
};
use lifeboat::archive::evidence::scorecard::scorecard;
use lifeboat::archive::manifest::Origin;
use lifeboat::clock::Timestamp;
use lifeboat::config::{Config, Inputs};
use lifeboat::odoo::baseline::installed_modules;
use lifeboat::odoo::counters::Counters;
use lifeboat::postgres::{PostgresOptions, Session, look};
use lifeboat::repository::Repository;

use crate::Cluster;
use crate::site::Site;

/// How sessions of the library reach the cluster.
pub fn options(cluster: &Cluster) -> PostgresOptions {
    PostgresOptions {
        host: Some(cluster.host()),
        port: cluster.port(),
        user: cluster.user().into(),
        bin_dir: Some(cluster.bin_dir().into()),
        ..PostgresOptions::default()
    }
}

/// Runs it to its end.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// The counters of a tenant now.
pub fn counters(cluster: &Cluster, tenant: &str) -> Counters {
    wait(async {
        let mut session = Session::connect(&options(cluster), tenant).await.unwrap();
        Counters::take(&mut session).await.unwrap()
    })
}

/// Makes a checkpoint of these tenants, stores its evidence, and keeps its counters in the state directory;
/// returns a copy of the evidence.
pub fn checkpointed(cluster: &Cluster, site: &Site, release: &str, tenants: &[&str]) -> PathBuf {
    let kept = site.path("lifeboat-state/prod/checkpoints").join(release);
    std::fs::create_dir_all(&kept).unwrap();
    let mut states = Vec::new();
    for tenant in tenants {
        let counters = counters(cluster, tenant);
        std::fs::write(kept.join(format!("counters-{tenant}.json")), counters.to_json().unwrap()).unwrap();
        let modules = wait(async {
            let mut session = Session::connect(&options(cluster), tenant).await.unwrap();
            look::begin(&mut session).await.unwrap();
            installed_modules(&mut session).await.unwrap()
        });
        let bytes = cluster.psql("postgres", &format!("select pg_database_size('{tenant}')"));
        states.push(TenantState {
            tenant: tenant.parse().unwrap(),
            database_bytes: bytes.parse().unwrap(),
            odoo_version: None,
            dump: None,
            files: Files::default(),
            modules: modules
                .into_iter()
                .map(|module| ModuleVersion { name: module.name, version: module.version })
                .collect(),
            module_changes: Vec::new(),
            baseline_sha256: counters.digest().unwrap(),
        });
    }
    let point = point(cluster, release);
    let file = site.path(&format!("checkpoint-{release}.json"));
    let key = EvidenceKey::load(&site.path("lifeboat-evidence-key.pem")).unwrap();
    let inputs = Inputs { config: Some(site.config()), ..Inputs::default() };
    let config = Config::load(&inputs).unwrap();
    let stored = wait(async {
        let repository = Repository::configured(&config).await.unwrap();
        repository.bind(Some(&point.system_identifier)).await.unwrap();
        let origin = repository.origin().await.unwrap();
        repository.store_checkpoint(&checkpoint(release, point, origin, states), &key).await.unwrap()
    });
    std::fs::write(&file, stored.envelope).unwrap();
    file
}

fn point(cluster: &Cluster, release: &str) -> Point {
    let ask = |sql: &str| cluster.psql("postgres", sql);
    let lsn = ask(&format!("select pg_create_restore_point('lifeboat_{release}')"));
    let micros = ask("select (extract(epoch from clock_timestamp()) * 1000000)::int8");
    Point {
        name: format!("lifeboat_{release}"),
        lsn: lsn.parse().unwrap(),
        timeline: 1,
        time: Timestamp::from_microsecond(micros.parse().unwrap()).unwrap(),
        system_identifier: ask("select system_identifier from pg_control_system()"),
        server_version: ask("show server_version"),
        stored: None,
        stored_after_seconds: None,
    }
}

fn checkpoint(release: &str, point: Point, origin: Origin, tenants: Vec<TenantState>) -> Checkpoint {
    let mut made = Checkpoint {
        format: predicate::FORMAT,
        origin,
        release: Release {
            id: release.parse().unwrap(),
            commit: None,
            image: None,
            tier: "standard".into(),
            approved_by: Vec::new(),
            migration_approved_by: Vec::new(),
            ticket: None,
            migrates: None,
        },
        scope: Scope {
            cohort: None,
            all: true,
            tenants: tenants.iter().map(|one| one.tenant.clone()).collect(),
        },
        begun: point.time,
        ended: point.time,
        point: Some(point),
        base: None,
        tenants,
        configuration: None,
        artifacts: Vec::new(),
        repositories: Vec::new(),
        recipients: Vec::new(),
        drill: None,
        rehearsal: None,
        gates: Gate::ALL.map(not_required).into(),
        rollback: Vec::new(),
        previous: None,
        scorecard: Scorecard {
            readiness: 100,
            risk: Level::Low,
            tenants_affected: 1,
            rollback_confidence: Level::High,
        },
        written_by: "test".into(),
    };
    made.scorecard = scorecard(&made);
    made
}

fn not_required(gate: Gate) -> GateResult {
    GateResult { gate, outcome: Outcome::NotRequired, found: "not looked at".into(), overridden: None }
}

/// SQL that copies the first row of a table so many times under new numbers, made at `when` (SQL for a
/// timestamp), with these columns changed (JSON of a row `i`, as SQL arguments of `jsonb_build_object`).
pub fn copies(table: &str, filter: &str, count: u32, when: &str, changed: &str) -> String {
    let changed = if changed.is_empty() { String::new() } else { format!(", {changed}") };
    format!(
        "insert into {table} select (jsonb_populate_record(one.row, jsonb_build_object( \
           'id', nextval(pg_get_serial_sequence('public.{table}', 'id')), 'create_date', {when}, \
           'write_date', {when}{changed}))).* \
         from (select o as row from {table} o where {filter} order by id limit 1) one, generate_series(1, {count}) i;"
    )
}

/// Now, as Odoo writes it.
pub const NOW: &str = "now() at time zone 'UTC'";

//! The tenants of these tests: real ones where this machine has some, else a made-up one; with orders that
//! were made on the days that their dates say.

use lifeboat_tests::real::load_all_real;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Outcome, Program, skip, small_tenant};
use serde_json::Value;

/// Loads them; their names.
pub fn tenants(cluster: &Cluster, site: &Site) -> Vec<String> {
    let mut names = load_all_real(cluster, &site.data_dir());
    if names.is_empty() {
        skip::announce("real tenants", "a made-up one is used; TEST_ODOO_TENANTS names their folder");
        names.push(small_tenant(cluster, &site.data_dir(), "acme", 41).name);
    }
    for name in &names {
        cluster.psql(
            name,
            "update sale_order set create_date = date_trunc('day', date_order) + interval '9 hours'; \
             update sale_order_line l set create_date = o.create_date from sale_order o where o.id = l.order_id; \
             update account_move set create_date = date; \
             update account_move_line l set create_date = m.create_date from account_move m where m.id = l.move_id",
        );
    }
    names
}

/// The day with the most confirmed orders, as `2026-11-19`, and how many there are.
pub fn best_day(cluster: &Cluster, tenant: &str) -> (String, u64) {
    let sql = "select create_date::date, count(*) from sale_order where state in ('sale', 'done') \
               group by 1 order by 2 desc, 1 limit 1";
    let line = cluster.psql(tenant, sql);
    let (day, count) = line.trim().split_once('|').unwrap();
    (day.to_owned(), count.parse().unwrap())
}

/// Deletes rows as somebody does who goes around Odoo.
pub fn delete(cluster: &Cluster, tenant: &str, sql: &str) {
    cluster.psql(tenant, &format!("set session_replication_role = replica; {sql}"));
}

/// Backs up; what the report says about this tenant.
#[track_caller]
pub fn backed_up(site: &Site, tenant: &str, args: &[&str]) -> Value {
    let report = site.back_up(args);
    let tenants = report["tenants"].as_array().unwrap();
    tenants.iter().find(|one| one["tenant"] == tenant).unwrap().clone()
}

/// The words of what was found, `documents-gone sale_order`; none if nothing was.
pub fn found(report: &Value) -> Vec<String> {
    let findings = report["suspicious"]["findings"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings.map(|one| format!("{} {}", text(&one["found"]), text(&one["table"])).trim().to_owned()).collect()
}

/// The outcome, which must say this on one of its streams.
#[track_caller]
pub fn with(outcome: Outcome, text: &str) -> Outcome {
    assert!(words(&outcome).contains(text), "{text}: {outcome}");
    outcome
}

/// The outcome, which must not say this.
#[track_caller]
pub fn without(outcome: Outcome, text: &str) -> Outcome {
    assert!(!words(&outcome).contains(text), "{outcome}");
    outcome
}

/// `lifeboat status`, where only suspicion counts.
pub fn status(site: &Site) -> Program {
    site.run(&["status", "--max-age", "400d"])
}

//! `lifeboat rollback plan` over real servers: exact numbers, what is not known, and its commands.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

mod commands;
mod counters;
mod exact;
mod unknown;
mod way;

use std::time::Duration;

use lifeboat_tests::checkpointed::{NOW, copies};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome};
use serde_json::Value;

/// The server counts what a session did when that ends, or within a second.
pub const COUNTED_AFTER: Duration = Duration::from_millis(1500);

/// The plan of a release, as it is printed.
pub fn plan(site: &Site, release: &str, more: &[&str]) -> Outcome {
    site.run(&["rollback", "plan", "--release", release]).args(more.to_vec()).run()
}

/// The plan as JSON, with this exit code.
#[track_caller]
pub fn planned(site: &Site, release: &str, code: i32) -> Value {
    plan(site, release, &["--json"]).exits(code).json()
}

/// A tenant of a plan.
pub fn tenant<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let tenants = plan["tenants"].as_array().unwrap();
    tenants.iter().find(|tenant| tenant["tenant"] == name).unwrap_or_else(|| panic!("{name}: {plan}"))
}

/// Twenty minutes of business: the same rows in every tenant of Odoo.
pub fn business(cluster: &Cluster, name: &str) {
    let orders = "'name', 'SO-NEW-' || i, 'state', case when i <= 3 then 'sale' else 'draft' end, 'amount_total', 10.10";
    let all = [
        copies("sale_order", "true", 4, NOW, orders),
        copies("pos_order", "true", 2, NOW, "'name', 'POS-NEW-' || i, 'state', 'paid', 'amount_total', 0.05"),
        copies("account_payment", "payment_type = 'inbound'", 2, NOW, "'amount', 7.5"),
        copies(
            "account_payment",
            "payment_type = 'inbound'",
            1,
            NOW,
            "'amount', 2.5, 'payment_type', 'outbound'",
        ),
        copies(
            "stock_picking",
            "true",
            2,
            NOW,
            "'name', 'WH-NEW-' || i, 'state', case i when 1 then 'done' else 'assigned' end",
        ),
        copies("stock_move", "true", 5, NOW, "'state', 'done'"),
        copies(
            "account_move",
            "move_type = 'out_invoice'",
            3,
            NOW,
            "'name', 'INV-NEW-' || i, 'state', 'posted', 'amount_total', 100, 'sequence_number', 90000 + i",
        ),
        copies(
            "account_move",
            "move_type = 'out_invoice'",
            1,
            NOW,
            "'name', 'RINV-NEW', 'state', 'draft', 'move_type', 'out_refund', 'amount_total', 40",
        ),
        copies("ir_attachment", "store_fname is not null", 2, NOW, "'file_size', 1000"),
        format!(
            "update sale_order set write_date = {NOW} where id in (select id from sale_order order by id limit 6);"
        ),
    ];
    cluster.psql(name, &all.join("\n"));
}

/// What [`business`] wrote, as the plan must say it.
#[track_caller]
pub fn assert_business(tenant: &Value) {
    let written = &tenant["written"];
    let counts = |document: &str| {
        let one = &written[document];
        let of = |key: &str| one[key].as_u64();
        (of("after"), of("done"), of("maybe"))
    };
    assert_eq!(counts("sale-order"), (Some(4), Some(3), Some(0)), "{written}");
    assert_eq!(counts("pos-order"), (Some(2), Some(2), Some(0)));
    assert_eq!((counts("payment").0, counts("payment").2), (Some(3), Some(0)));
    assert_eq!(counts("picking"), (Some(2), Some(1), Some(0)));
    assert_eq!(counts("stock-move"), (Some(5), Some(5), Some(0)));
    assert_eq!(counts("invoice"), (Some(4), Some(3), Some(0)));
    assert_eq!(counts("bill").0, Some(0));
    assert_eq!((counts("attachment").0, &written["attachment"]["bytes"]), (Some(2), &2000.into()));
    let sum = |document: &str| {
        let sums = written[document]["sums"].as_object().unwrap_or_else(|| panic!("{document}: {written}"));
        sums.values().map(|sum| sum.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sum("sale-order"), ["40.40"]);
    assert_eq!(sum("pos-order"), ["0.10"]);
    assert_eq!(sum("payment"), ["12.50"], "what goes out is negative");
    assert_eq!(sum("invoice"), ["260.00"]);
    assert_eq!(written["sale-order"]["changed"], 6);
    assert_eq!(written["sale-order"]["first"], "SO-NEW-1");
    assert_eq!(written["sale-order"]["last"], "SO-NEW-4");
    assert_eq!(tenant["is_exact"], true);
}

//! What the salvage wrote: the documents of the twenty minutes, as the plan counted them and as people made
//! them.

use std::collections::BTreeSet;
use std::path::Path;

use lifeboat_tests::filestore::Filestore;
use serde_json::Value;

use crate::R2;
use crate::business::{CHANGED, Ledger, decimal};
use crate::shop::Shop;

fn lines(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files hold what people wrote, and the totals that the plan promised.
#[track_caller]
pub fn assert_exported(shop: &Shop, tenant: &str, ledger: &Ledger, planned: &Value) {
    let dir = shop.site.path(&format!("{tenant}_after_{R2}"));
    let summary: Value = serde_json::from_slice(&std::fs::read(dir.join("summary.json")).unwrap()).unwrap();
    let kinds = &summary["kinds"];
    assert_eq!(summary["not_exported"], serde_json::json!([]), "{summary:#}");
    let all = [
        ("sale-orders", "sale-order", "sale_order_line", 2 * ledger.orders),
        ("pos-orders", "pos-order", "pos_order_line", 2 * ledger.receipts),
        ("payments", "payment", "account_move", ledger.payments),
        ("pickings", "picking", "stock_move", 2 * ledger.orders),
        ("attachments", "attachment", "", 0),
    ];
    for (kind, document, table, count) in all {
        let counts = &kinds[kind]["documents"][document];
        let of_plan = &planned["written"][document];
        assert_eq!(counts["new"], of_plan["after"], "{kind}: {summary:#}");
        if !counts["totals"].as_object().unwrap().is_empty() {
            assert_eq!(counts["totals"], of_plan["sums"], "{kind}: {summary:#}");
        }
        assert_eq!(counts["deleted"], 0, "{kind}");
        if !table.is_empty() {
            assert_eq!(kinds[kind]["lines"][table], count, "{kind}: {summary:#}");
        }
        assert_eq!(lines(&dir, &format!("{kind}.jsonl")).len() as u64, counts["new"].as_u64().unwrap());
    }
    assert_eq!(kinds["sale-orders"]["documents"]["sale-order"]["changed"], CHANGED);

    // Each document by itself, in the order in which they were made.
    let amounts = |file: &str| -> Vec<String> {
        lines(&dir, file).iter().map(|one| one["total"]["amount"].as_str().unwrap().to_owned()).collect()
    };
    let minutes = || 1..=ledger.orders;
    assert_eq!(
        amounts("sale-orders.jsonl"),
        minutes().map(|at| decimal(1_000 + 37 * at)).collect::<Vec<_>>()
    );
    assert_eq!(amounts("payments.jsonl"), minutes().map(|at| decimal(2_500 + 113 * at)).collect::<Vec<_>>());
    let orders = lines(&dir, "sale-orders.jsonl");
    for (order, minute) in orders.iter().zip(minutes()) {
        assert_eq!(order["values"]["client_order_ref"], format!("story {minute}"));
        let prices: Vec<&str> = order["lines"]["sale_order_line"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["values"]["price_unit"].as_str().unwrap())
            .collect();
        assert!(prices.len() == 2 && prices[1] == "0", "the price of the promotion: {prices:?}");
    }
    let payments = lines(&dir, "payments.jsonl");
    assert!(payments.iter().all(|one| one["name"].as_str().unwrap().starts_with("STORY/")), "{payments:#?}");
    let names: BTreeSet<String> = lines(&dir, "attachments.jsonl")
        .iter()
        .map(|one| one["values"]["store_fname"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ledger.files.iter().cloned().collect(), "the files of the attachments");
}

/// The content of the attachments is where README.txt says: in the filestore of the state that was kept.
#[track_caller]
pub fn assert_files_are_kept(shop: &Shop, kept: &str, ledger: &Ledger) {
    let filestore = Filestore::of(&shop.site.data_dir(), kept);
    for file in &ledger.files {
        assert!(filestore.path(file).is_file(), "{file} is not in {}", filestore.dir().display());
    }
}

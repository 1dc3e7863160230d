//! People work: orders, deliveries, payments, sales of the shop and attachments, minute by minute. What they
//! wrote is added up here, apart from every database.

use lifeboat_tests::{Cluster, Tenant};

/// What is written in one minute.
const MINUTE: &str = include_str!("minute.sql");
/// How many older orders are changed at the end: their reference.
pub const CHANGED: u64 = 3;

/// What was written: counts, and sums in cents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub orders: u64,
    pub sold: u64,
    pub payments: u64,
    pub paid: u64,
    pub receipts: u64,
    pub takings: u64,
    pub attached_bytes: u64,
    /// The files of the attachments, by `store_fname`.
    pub files: Vec<String>,
}

/// These minutes of business in a tenant, a transaction each. Every second minute the shop sells, too.
pub fn minutes(cluster: &Cluster, tenant: &Tenant, minutes: std::ops::RangeInclusive<u64>) -> Ledger {
    let mut ledger = Ledger::default();
    for minute in minutes {
        let (sold, paid) = (1_000 + 37 * minute, 2_500 + 113 * minute);
        let takings = if minute.is_multiple_of(2) { 105 + 11 * minute } else { 0 };
        let content = format!("%PDF-1.7 order of minute {minute} in {}\n", tenant.name);
        let file = tenant.filestore().add(content.as_bytes());
        let given = [
            ("minute", minute.to_string()),
            ("sold", decimal(sold)),
            ("paid", decimal(paid)),
            ("takings", decimal(takings)),
            ("fname", file.clone()),
            ("bytes", content.len().to_string()),
        ];
        let given: String = given.iter().map(|(name, value)| format!("\\set {name} '{value}'\n")).collect();
        cluster.psql(&tenant.name, &(given + MINUTE));
        ledger.orders += 1;
        ledger.sold += sold;
        ledger.payments += 1;
        ledger.paid += paid;
        ledger.receipts += u64::from(takings > 0);
        ledger.takings += takings;
        ledger.attached_bytes += content.len() as u64;
        ledger.files.push(file);
    }
    ledger
}

/// Somebody corrects older orders.
pub fn corrects(cluster: &Cluster, tenant: &Tenant) {
    let oldest = format!("select id from sale_order order by id limit {CHANGED}");
    cluster.psql(
        &tenant.name,
        &format!(
            "update sale_order set client_order_ref = 'as telephoned', write_uid = 2, \
             write_date = now() at time zone 'UTC' where id in ({oldest})"
        ),
    );
}

/// Cents as a decimal number.
pub fn decimal(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

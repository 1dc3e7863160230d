//! The business checks of restore drills on ordinary business that a real Odoo made: no hard one may find
//! anything in it, and each still notices its damage.
#![allow(clippy::unwrap_used)] // a failing test panics

mod billing;
mod books;
mod buying;
mod damage;
mod delivering;
mod early;
mod invoicing;
mod making;
mod opening;
mod paying;
mod scene;
mod selling;
mod shop;
mod taxes;
mod till;
mod warehouse;

use std::panic::{AssertUnwindSafe, catch_unwind};

use lifeboat_tests::skip;
use restore_drill::catalogue::check::Severity;
use restore_drill::catalogue::run::Status;

use shop::Shop;

/// One thing that a company does, by the name it has there.
type Operation = (&'static str, fn(&Shop<'_>));

/// All of them, in an order in which one may build on another.
const ALL: [&[Operation]; 12] = [
    selling::ALL,
    delivering::ALL,
    billing::ALL,
    buying::ALL,
    warehouse::ALL,
    making::ALL,
    invoicing::ALL,
    taxes::ALL,
    paying::ALL,
    early::ALL,
    till::ALL,
    books::ALL,
];

#[test]
fn ordinary_business_raises_no_alarm() {
    let Some(scene) = scene::scene() else {
        skip!("{}", scene::NO_ODOO);
    };
    let admin = scene.odoo.log_in(scene::TENANT, "admin", "admin");
    let shops = opening::open(&admin, scene.major);
    let mut failed = Vec::new();
    let mut done = 0;
    for shop in &shops {
        for (name, operation) in ALL.into_iter().flatten() {
            match catch_unwind(AssertUnwindSafe(|| operation(shop))) {
                Ok(()) => done += 1,
                Err(_) => failed.push(format!("company {}: {name}", shop.company)),
            }
        }
    }
    let (outcomes, unnoticed) = scene.checks();
    let mut alarms = Vec::new();
    for outcome in &outcomes {
        match (outcome.severity, outcome.status) {
            (Severity::Hard, Status::Failed | Status::Error) => alarms.push(format!("{outcome:?}")),
            (_, Status::Error) => alarms.push(format!("{outcome:?}")),
            (_, Status::Noted) => {
                println!("{} {:?}: {}", outcome.id, outcome.violations, outcome.samples.join("; "))
            }
            (_, Status::Skipped) => println!("{} {:?}", outcome.id, outcome.message),
            _ => {}
        }
    }
    assert!(failed.is_empty(), "Odoo refused {} operations: {failed:#?}", failed.len());
    assert!(alarms.is_empty(), "{alarms:#?}");
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert!(done >= 60, "{done} operations");
}

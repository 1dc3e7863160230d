//! The stages of a drill. A stage is a value with its input; [`Drill::stage`] runs it. It writes what it
//! finds into the report, as [`Finding`]s, and gives the next stage its output. A new stage is one file: its
//! type, and its line in [`inside`], [`NAMES`] and [`PARTS`].
//!
//! [`Finding`]: crate::report::finding::Finding

use crate::drill::stage::{Drill, PROVISION, Stage, TEAR_DOWN};
use crate::place::Room;
use crate::setup::Chosen;

mod amcheck;
pub mod before;
mod blobs;
pub mod checks;
pub mod choose;
pub mod counters;
pub mod files;
pub mod indexes;
pub mod instance;
pub mod neutralized;
pub mod odoo;
pub mod restore;
pub mod silence;
pub mod transactions;

/// The stages of every drill, in their order.
pub const NAMES: [&str; 12] = [
    choose::Choose::NAME,
    PROVISION,
    restore::Restore::NAME,
    neutralized::Neutralized::NAME,
    files::Files::NAME,
    indexes::Indexes::NAME,
    checks::Checks::NAME,
    before::Before::NAME,
    odoo::Odoo::NAME,
    transactions::Transactions::NAME,
    silence::Silence::NAME,
    TEAR_DOWN,
];

/// The parts of a whole drill: what of them was not exercised lowers the coverage.
pub const PARTS: [&str; 11] = [
    restore::ARCHIVE,
    restore::BASELINE,
    neutralized::NEUTRALIZED,
    files::FILES,
    indexes::INDEXES,
    checks::HARD,
    checks::BASE,
    before::BEFORE,
    odoo::ODOO,
    transactions::TRANSACTIONS,
    silence::SILENCE,
];

/// The stages inside a place that is provisioned: each needs what the one before gave.
pub async fn inside(drill: &mut Drill<'_>, room: &Room, chosen: &Chosen) {
    if restored(drill, room, chosen).await {
        validated(drill, room, chosen).await;
        compared(drill, room, chosen).await;
        traded(drill, room).await;
    }
}

/// Restores; whether there is a copy now.
pub async fn restored(drill: &mut Drill<'_>, room: &Room, chosen: &Chosen) -> bool {
    let (setup, cancel) = (drill.setup, drill.cancel);
    let restore = restore::Restore { setup, room, snapshot: &chosen.snapshot, cancel };
    drill.stage(restore).await.is_some()
}

/// Validates the copy: the time to recover ends with it. Needs nothing but the room.
pub async fn validated(drill: &mut Drill<'_>, room: &Room, chosen: &Chosen) {
    let setup = drill.setup;
    if let Some(point) = setup.counters.as_deref() {
        drill.stage(counters::Compared { room, point }).await;
    }
    drill.stage(neutralized::Neutralized { room }).await;
    let accepted = setup.plan.accepted.iter().find(|known| known.check == files::FILES);
    drill.stage(files::Files { room, snapshot: &chosen.snapshot, filestore_of: None, accepted }).await;
    drill.stage(indexes::Indexes { room }).await;
    drill.stage(checks::Checks { room, setup }).await;
    drill.recovered();
}

/// Compares with the backup before, which is in the repository.
pub async fn compared(drill: &mut Drill<'_>, room: &Room, chosen: &Chosen) {
    let (setup, cancel) = (drill.setup, drill.cancel);
    let accepted = setup.plan.accepted.iter().find(|known| known.check == before::BEFORE);
    drill.stage(before::Before { setup, room, chosen, accepted, cancel }).await;
}

/// Starts Odoo on the copy, and trades.
pub async fn traded(drill: &mut Drill<'_>, room: &Room) {
    let (setup, cancel) = (drill.setup, drill.cancel);
    let plan = setup.plan.odoo.as_ref();
    let mut odoo = drill.stage(odoo::Odoo { room, plan, cancel }).await.flatten();
    let wanted = plan.is_none_or(|plan| plan.transactions);
    drill.stage(transactions::Transactions { odoo: odoo.as_deref_mut(), wanted }).await;
    drill.stage(silence::Silence { odoo: odoo.as_deref_mut() }).await;
    if let Some(odoo) = odoo {
        odoo.stop().await;
    }
}

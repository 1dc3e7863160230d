//! The stages of a drill of a whole instance: the cluster is restored and recovered as production was, its
//! pages and its own indexes are checked, and then each tenant, by the stages of a tenant's drill.
//!
//! A restored instance is live: `lifeboat restore` neutralizes no tenant of it. So the drill neutralizes each
//! one first, and starts no Odoo on any.

use crate::drill::stage::{Drill, PROVISION, Stage, TEAR_DOWN};
use crate::place::local::site::Site;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::setup::Chosen;
use crate::stages::{
    before, checks, choose, files, indexes, neutralized, odoo, restore, silence, transactions,
};

mod databases;
mod each;
mod filestores;
mod neutralize;
mod others;
mod pages;
mod recover;

use each::{Each, Tenant};

/// The stages, in their order.
pub const NAMES: [&str; 13] = [
    choose::Choose::NAME,
    PROVISION,
    recover::Recover::NAME,
    pages::Pages::NAME,
    databases::Databases::NAME,
    filestores::Filestores::NAME,
    neutralized::Neutralized::NAME,
    files::Files::NAME,
    indexes::Indexes::NAME,
    others::Others::NAME,
    checks::Checks::NAME,
    before::Before::NAME,
    TEAR_DOWN,
];

/// The parts of such a drill. A base backup records no baseline, so there is none.
pub const PARTS: [&str; 12] = [
    restore::ARCHIVE,
    pages::PAGES,
    databases::TENANTS,
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

pub use databases::TENANTS;

/// Why nothing is traded.
const NO_ODOO: &str = "no Odoo is started on an instance: drill its tenants with [odoo] too";

/// The stages inside a place with an empty data directory.
pub async fn inside(drill: &mut Drill<'_>, site: &mut Site, chosen: &Chosen) {
    let (setup, cancel) = (drill.setup, drill.cancel);
    for part in [odoo::ODOO, transactions::TRANSACTIONS, silence::SILENCE] {
        drill.report.findings.push(Finding::new(part, State::NotRun, NO_ODOO));
    }
    let Some(whole) = &chosen.whole else { return };
    let recover = recover::Recover { setup, site, snapshot: &chosen.snapshot, whole, cancel };
    let Some(sorted) = drill.stage(recover).await else { return };
    if drill.stage(pages::Pages { site }).await.is_none() {
        return;
    }
    let accepted = |check: &str| setup.plan.accepted.iter().find(|known| known.check == check);
    let databases = databases::Databases { setup, room: &site.room, chosen, accepted: accepted(TENANTS) };
    let Some((tenants, others)) = drill.stage(databases).await else { return };
    let mut own: Vec<Report> = tenants.iter().map(Tenant::own_report).collect();
    let own = &mut own[..];

    let tenants = &tenants[..];
    let (mut unfit, mut no_files) = (vec![false; tenants.len()], vec![false; tenants.len()]);

    let stages = tenants.iter().map(|tenant| filestores::Filestores { tenant, cancel }).collect();
    drill.stage(Each { tenants, own, stages, unfit: &mut no_files, needed: true }).await;
    let stages = tenants.iter().map(|tenant| neutralize::Neutralize { room: &tenant.room }).collect();
    drill.stage(Each { tenants, own, stages, unfit: &mut unfit, needed: true }).await;
    no_files.iter_mut().zip(&unfit).for_each(|(no_files, unfit)| *no_files |= unfit);
    let known = accepted(files::FILES);
    let stages = tenants
        .iter()
        .map(|tenant| files::Files {
            room: &tenant.room,
            snapshot: &tenant.chosen.snapshot,
            filestore_of: tenant.filestore.as_ref().map(|(_, moment)| *moment),
            accepted: known,
        })
        .collect();
    drill.stage(Each { tenants, own, stages, unfit: &mut no_files, needed: false }).await;
    let stages = tenants.iter().map(|tenant| others::Sorted { tenant, sorted: &sorted }).collect();
    drill.stage(Each { tenants, own, stages, unfit: &mut unfit, needed: false }).await;
    drill.stage(others::Others { room: &site.room, databases: &others, sorted: &sorted }).await;
    let stages =
        tenants.iter().map(|tenant| checks::Checks { room: &tenant.room, setup: &tenant.setup }).collect();
    drill.stage(Each { tenants, own, stages, unfit: &mut unfit, needed: false }).await;
    drill.recovered();
    let known = accepted(before::BEFORE);
    let stages = tenants
        .iter()
        .map(|Tenant { setup, room, chosen, .. }| before::Before {
            setup,
            room,
            chosen,
            accepted: known,
            cancel,
        })
        .collect();
    drill.stage(Each { tenants, own, stages, unfit: &mut unfit, needed: false }).await;
}

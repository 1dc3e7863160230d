//! What monitoring is told of restore drills. Drills run on another host, so their reports are read from the
//! repository now and then.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::Result;
use crate::inventory::Inventory;
use crate::inventory::drills::{self, StoredDrill};
use crate::inventory::take::Wanted;
use crate::names::TenantName;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::status::drilled;

/// How often the reports are read, and how long after the start, when the agent has other work.
const LOOK_EVERY: Duration = Duration::from_secs(15 * 60);
const FIRST_LOOK: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfVerdict {
    tenant: String,
    verdict: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfClass {
    class: String,
}

type Seconds<T> = Family<T, Gauge<f64, AtomicU64>>;

/// The metrics of drills.
pub struct Drilled {
    read: Seconds<[(&'static str, &'static str); 0]>,
    ended: Seconds<OfTenant>,
    verdict: Family<OfVerdict, Gauge>,
    rpo: Seconds<OfTenant>,
    rto: Seconds<OfTenant>,
    overdue: Family<OfClass, Gauge>,
}

/// What was read.
struct Look {
    /// The newest drill of each tenant.
    newest: Vec<StoredDrill>,
    /// Each class that promises drills, and whether one is overdue.
    classes: Vec<(String, bool)>,
}

impl Drilled {
    /// Adds them to a page.
    pub fn on(page: &mut Registry) -> Drilled {
        let drilled = Drilled {
            read: Family::default(),
            ended: Family::default(),
            verdict: Family::default(),
            rpo: Family::default(),
            rto: Family::default(),
            overdue: Family::default(),
        };
        let seconds = Unit::Seconds;
        let what = "When the reports of restore drills were last read from the repository";
        page.register_with_unit("drills_read_timestamp", what, seconds.clone(), drilled.read.clone());
        for (name, help, metric) in [
            ("drill_timestamp", "When the newest restore drill of the tenant ended", &drilled.ended),
            ("drill_rpo", "The data loss that this drill measured", &drilled.rpo),
            ("drill_rto", "The time to recover that this drill measured", &drilled.rto),
        ] {
            page.register_with_unit(name, help, seconds.clone(), metric.clone());
        }
        let what = "1 for the verdict of the newest restore drill of the tenant: passed, failed, \
                    missed-objective or could-not-run";
        page.register("drill_verdict", what, drilled.verdict.clone());
        let what = "1 if the restore drills of the class are older than its drill_every promises";
        page.register("drill_overdue", what, drilled.overdue.clone());
        drilled
    }

    fn set(&self, look: &Look, now: Timestamp) {
        let seconds = |time: Timestamp| time.as_microsecond() as f64 / 1e6;
        self.read.get_or_create(&[]).set(seconds(now));
        self.verdict.clear();
        self.overdue.clear();
        for family in [&self.ended, &self.rpo, &self.rto] {
            family.clear();
        }
        for drill in &look.newest {
            let tenant = OfTenant { tenant: drill.tenant.to_string() };
            self.ended.get_or_create(&tenant).set(seconds(drill.time()));
            for (family, measured) in [(&self.rpo, drill.rpo_seconds), (&self.rto, drill.rto_seconds)] {
                // The time of a whole instance is not that of a tenant.
                let of_tenant = !drill.whole_instance || std::ptr::eq(family, &self.rpo);
                if let Some(measured) = measured.filter(|_| of_tenant) {
                    family.get_or_create(&tenant).set(measured);
                }
            }
            let label = OfVerdict { tenant: tenant.tenant, verdict: drill.verdict.clone() };
            self.verdict.get_or_create(&label).set(1);
        }
        for (class, is_overdue) in &look.classes {
            let label = OfClass { class: class.clone() };
            self.overdue.get_or_create(&label).set((*is_overdue).into());
        }
    }
}

/// Reads the reports until `cancel` is cancelled. Without trusted keys no report is believed, and none is
/// read.
pub async fn watch(config: &Config, drilled: &Drilled, cancel: &CancellationToken) {
    let reading = async {
        if !config.signing.trusted_keys.is_empty() {
            // An alarm counts from here, if no look ever succeeds.
            drilled.read.get_or_create(&[]).set(clock::now().as_microsecond() as f64 / 1e6);
        }
        clock::sleep(FIRST_LOOK).await;
        while !config.signing.trusted_keys.is_empty() {
            let now = clock::now();
            match look(config, now).await {
                Ok(look) => drilled.set(&look, now),
                Err(e) => tracing::warn!("the reports of drills cannot be read: {}", e.line()),
            }
            clock::sleep(LOOK_EVERY).await;
        }
        cancel.cancelled().await;
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = reading => {}
    }
}

async fn look(config: &Config, now: Timestamp) -> Result<Look> {
    let trust = Trust::keys(&config.signing.trusted_keys)?;
    let repository = Repository::configured(config).await?;
    let inventory = Inventory::take_to_show(config, &repository, &trust, &Wanted::default()).await?;
    let tenants: BTreeSet<TenantName> =
        inventory.believed().filter_map(|snapshot| snapshot.manifest.tenant.clone()).collect();
    let since = inventory.believed().map(|snapshot| snapshot.stored_at).min();
    let reach = drills::reach(config.classes.values());
    let recent = drills::recent(&repository, &trust, &tenants, reach).await?;
    let tenants: Vec<&TenantName> = tenants.iter().collect();
    let classes = drilled::by_class(config, &recent, &tenants, since, now).into_iter();
    Ok(Look {
        newest: drilled::newest(&recent, &tenants),
        classes: classes.map(|(class, overdue)| (class.to_owned(), overdue.is_some())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_the_numbers_of_its_newest_drill_only() {
        let mut page = Registry::with_prefix("lifeboat");
        let drilled = Drilled::on(&mut page);
        let at = |second| Timestamp::from_second(second).unwrap();
        let drill = |tenant: &str, verdict: &str| StoredDrill {
            id: "d".to_owned(),
            whole_instance: false,
            tenant: tenant.parse().unwrap(),
            stored_at: at(1_800_000_000),
            ended: at(1_800_000_000),
            verdict: verdict.to_owned(),
            reason: None,
            rpo_seconds: None,
            rto_seconds: Some(12.5),
            state: None,
        };
        let look = |tenant, verdict| Look {
            newest: vec![drill(tenant, verdict)],
            classes: vec![("gold".to_owned(), true)],
        };
        drilled.set(&look("gone", "passed"), at(1));
        drilled.set(&look("shop", "failed"), at(1_800_000_007));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &page).unwrap();
        for line in [
            "lifeboat_drill_timestamp_seconds{tenant=\"shop\"} 1800000000.0",
            "lifeboat_drill_rto_seconds{tenant=\"shop\"} 12.5",
            "lifeboat_drill_verdict{tenant=\"shop\",verdict=\"failed\"} 1",
            "lifeboat_drill_overdue{class=\"gold\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("lifeboat_drills_read_timestamp_seconds"), "{text}");
        assert!(!text.contains("gone") && !text.contains("drill_rpo_seconds{"), "{text}");
    }
}

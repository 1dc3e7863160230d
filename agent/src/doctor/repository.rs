//! Checks of the repository: reachable, initialised, and one that refuses to overwrite.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Check, Outcome, immutable};
use crate::archive::manifest::SnapshotKind;
use crate::clock;
use crate::config::Config;
use crate::error::Kind;
use crate::inventory::Inventory;
use crate::inventory::lives::{self, lives};
use crate::inventory::take::{Wanted, Which};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::store::{Store, StoreOptions};

/// A person waits for the answer, so fewer and shorter tries than a backup makes.
const RETRY_DEADLINE_MAX: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Where the probe's object is for a moment; it stays there if this host may not delete.
const PROBE_PREFIX: &str = "probes";
/// How far two clocks may differ that NTP keeps right.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(1);
/// What makes a place a repository.
const MARKER: &str = "lifeboat.json";

/// Every check of the repository.
pub async fn checks(config: &Config) -> Vec<Check> {
    const NAME: &str = "repository";
    let configured = StoreOptions::from(config);
    let options = StoreOptions {
        request_timeout: configured.request_timeout.min(REQUEST_TIMEOUT_MAX),
        retry_deadline: configured.retry_deadline.min(RETRY_DEADLINE_MAX),
        ..configured
    };
    let store = match Store::open(&config.repository.url, &options) {
        Ok(store) => store,
        Err(error) => return vec![Check::error(NAME, &error)],
    };
    let marker = match store.head(MARKER).await {
        Err(error) => {
            let clock = clock(&store).await.filter(|check| check.status == Outcome::Warn);
            return [Check::error(NAME, &error)].into_iter().chain(clock).collect();
        }
        Ok(marker) => marker,
    };
    if marker.is_none() {
        let text = format!("{} can be reached but is not initialised: it holds no {MARKER}", store.url());
        return vec![Check::fail(NAME, text, "correct repository.url, or create one with lifeboat init")];
    }
    let repository = match Repository::open(store.clone(), config.instance.clone()).await {
        Ok(repository) => repository,
        Err(error) => return vec![Check::error(NAME, &error)],
    };
    let mut checks = vec![Check::ok(NAME, format!("{} can be reached and is initialised", store.url()))];
    checks.extend(clock(&store).await);
    if config.signing.key_file.is_some() {
        checks.push(overwriting(&store).await);
    }
    let probe = config.signing.key_file.is_some().then_some(PROBE_PREFIX);
    checks.extend(immutable::checks(config, &store, probe).await);
    checks.extend(one_life(config, &repository).await);
    checks
}

/// Our clock against the store's; a directory has none of its own.
async fn clock(store: &Store) -> Option<Check> {
    const NAME: &str = "store's clock";
    let there = match store.now(MARKER).await {
        Ok(there) => there?,
        Err(error) => return Some(Check::error(NAME, &error)),
    };
    let ahead = clock::now().duration_since(there);
    let by = clock::span_text(ahead.unsigned_abs());
    if ahead.abs() <= CLOCK_MARGIN {
        return Some(Check::ok(NAME, format!("this host's clock and the store's differ by {by}")));
    }
    let side = if ahead.is_positive() { "ahead of" } else { "behind" };
    Some(Check::warn(
        NAME,
        format!(
            "this host's clock is {by} {side} the store's, which says {}: times in snapshots are wrong",
            clock::text(there)
        ),
        "correct this host's clock (timedatectl, chrony)",
    ))
}

/// Whether only one server stores WAL as this instance, or a copy does as well.
async fn one_life(config: &Config, repository: &Repository) -> Option<Check> {
    const NAME: &str = "one server";
    let wanted = Wanted { snapshots: Which::Kind(SnapshotKind::Base), wal: true };
    let looked = async {
        let trust = Trust::keys(&config.signing.trusted_keys)?;
        let inventory = Inventory::take(repository, &trust, &wanted).await?;
        inventory.wal().map(|wal| lives(wal, inventory.of_kind(SnapshotKind::Base, None)))
    };
    match looked.await {
        Ok(lives) if lives.len() > 1 => Some(Check::fail(
            NAME,
            format!("more than one server stores WAL as this instance: {}", lives::text(&lives)),
            "if one of them is a copy, turn off archiving there; then on production: lifeboat backup --kind base",
        )),
        Ok(lives) => {
            let life = lives.first()?;
            Some(Check::ok(NAME, format!("WAL of one server is stored, on timeline {}", life.timeline)))
        }
        Err(error) if error.kind() == Kind::NotFound => None, // before the first backup
        Err(error) => Some(Check::not_checked(NAME, error.what())),
    }
}

/// Whether the store refuses to overwrite objects.
async fn overwriting(store: &Store) -> Check {
    const NAME: &str = "overwriting";
    match store.probe_conditional_put(PROBE_PREFIX).await {
        Ok(true) => Check::ok(NAME, "objects can be written, and the store refuses to overwrite one"),
        Ok(false) => Check::fail(
            NAME,
            format!(
                "{} overwrites objects although it was asked not to (it ignores conditions on writes)",
                store.url()
            ),
            "use a server that honours conditional writes: two writers could destroy each other's archives",
        ),
        Err(error) => Check::error(NAME, &error),
    }
}

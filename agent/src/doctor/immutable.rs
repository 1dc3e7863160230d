//! Whether somebody with stolen credentials could take backups away: what the bucket says of itself, and what
//! it does. A plain deletion proves nothing, because it only adds a marker: a locked *version* is deleted,
//! its lock shortened, and its object overwritten.

use std::time::Duration;

use super::Check;
use crate::clock::{self, Timestamp, later};
use crate::config::{Config, LockMode};
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::store::Store;
use crate::store::versions::facts::BucketFacts;
use crate::store::versions::{Lock, ObjectLock, VersionId, Versioning};

/// How long the probe is locked: it must outlast its checks, and no more.
const PROBE_LOCKED_FOR: Duration = Duration::from_secs(120);
/// How much shorter, or longer, its lock is tried to be made.
const PROBE_STEP: Duration = Duration::from_secs(30);
const PROBE: &[u8] = b"1";
const OTHER: &[u8] = b"2";
const PAGE: &str = "docs/immutability.md shows how";

/// Every check of it. `probe` is where a probe may be written; `None` on a host that writes nothing.
pub async fn checks(config: &Config, store: &Store, probe: Option<&str>) -> Vec<Check> {
    const NAME: &str = "object lock";
    let asked = config.repository.lock;
    if store.is_local() && asked.is_none() {
        return Vec::new();
    }
    let facts = match store.bucket_facts().await {
        Ok(facts) => facts,
        Err(e) if asked.is_some() => return vec![Check::error(NAME, &e)],
        Err(e) => return vec![Check::not_checked(NAME, e.what())],
    };
    let has_locks = matches!(facts.object_lock, Ok(ObjectLock::On { .. }));
    let mut checks = said(facts, asked);
    if asked.is_some() && config.classes.is_empty() {
        checks.push(Check::warn(
            NAME,
            "repository.lock is set, but there is no recovery class: locks end after 15 days",
            "add a [class.NAME], and run lifeboat expire every day: it makes locks longer",
        ));
    }
    if let (Some(prefix), true) = (probe, has_locks) {
        checks.extend(probed(store, prefix, asked.unwrap_or(LockMode::Governance)).await);
    }
    checks
}

/// What the bucket says of itself.
fn said(facts: BucketFacts, asked: Option<LockMode>) -> Vec<Check> {
    fn check<T>(name: &'static str, fact: Result<T>, judge: impl FnOnce(T) -> Check) -> Check {
        match fact {
            Ok(fact) => judge(fact),
            Err(e) => Check::not_checked(name, format!("not known: {}", why(&e))),
        }
    }
    let versioning = check("versions", facts.versioning, |found| match found {
        Versioning::Enabled => {
            Check::ok("versions", "the bucket keeps what is overwritten or deleted as old versions")
        }
        Versioning::Suspended | Versioning::Off => Check::warn(
            "versions",
            "the bucket keeps no old versions: who can write to it can destroy backups",
            format!("turn on versioning; {PAGE}"),
        ),
    });
    let object_lock = check("object lock", facts.object_lock, |found| match (found, asked) {
        (ObjectLock::On { default_mode, default_days }, _) => {
            let default = match default_mode {
                Some(mode) => format!("{mode}, {default_days} days"),
                None => "none".to_owned(),
            };
            let ours = asked.map_or("none".to_owned(), |mode| mode.to_string());
            let text = format!("objects can be locked; by default: {default}; repository.lock: {ours}");
            match (default_mode, asked) {
                (None, None) => {
                    Check::warn("object lock", text, "set repository.lock, or a default of the bucket")
                }
                _ => Check::ok("object lock", text),
            }
        }
        (ObjectLock::Off, None) => Check::warn(
            "object lock",
            "objects cannot be locked: who can delete versions can destroy backups",
            format!("create a bucket with Object Lock; {PAGE}"),
        ),
        (ObjectLock::Off, Some(_)) => Check::fail(
            "object lock",
            "repository.lock is set, but objects of this bucket cannot be locked: every backup fails",
            format!("create a bucket with Object Lock, or remove repository.lock; {PAGE}"),
        ),
    });
    let encryption = check("encryption", facts.encryption, |found| match found {
        Some(algorithm) => {
            Check::ok("encryption", format!("the store encrypts new objects with {algorithm}"))
        }
        None => Check::warn(
            "encryption",
            "the store does not encrypt: content is encrypted by Lifeboat, names and times are not",
            "turn on default encryption of the bucket",
        ),
    });
    let access_log = check("access log", facts.access_log, |found| match found {
        Some(bucket) => Check::ok("access log", format!("accesses are logged to the bucket {bucket}")),
        None => Check::warn(
            "access log",
            "nobody would see who read or deleted what",
            "turn on server access logging (or data events of CloudTrail, which are not looked at here)",
        ),
    });
    let public = match (facts.blocks_public_access, facts.is_public) {
        (_, Ok(true)) => Check::fail(
            "public access",
            "the policy of the bucket makes it public",
            "remove that statement, and block public access",
        ),
        (Ok(true), _) => Check::ok("public access", "the bucket blocks every kind of public access"),
        (Ok(false), Ok(false)) => Check::warn(
            "public access",
            "it is not public, but public access is not blocked: one wrong policy would open it",
            "turn on all four settings of \"block public access\"",
        ),
        (Ok(false), Err(e)) => Check::warn(
            "public access",
            format!("it is not blocked, and it is not known whether it is public: {}", why(&e)),
            "turn on all four settings of \"block public access\"",
        ),
        (Err(e), _) => Check::not_checked("public access", format!("not known: {}", why(&e))),
    };
    vec![versioning, object_lock, encryption, access_log, public]
}

/// What the bucket does with an object of ours that is locked for two minutes.
async fn probed(store: &Store, prefix: &str, mode: LockMode) -> Vec<Check> {
    const NAME: &str = "locked probe";
    let key = format!("{prefix}/lock-{}", random_hex(8));
    let until = later(clock::now(), PROBE_LOCKED_FOR);
    let lock = Lock { mode, until };
    let begun = async {
        store.locked(lock).put_new(&key, PROBE).await?;
        let missing = || Error::new(Kind::NotFound, format!("{key} was stored, but is not read back"));
        let first = store.get_versioned(&key, 1).await?.ok_or_else(missing)?;
        let id = first.version.id().ok_or_else(|| Error::new(Kind::Config, "the store names no version"))?;
        // Unlocked, unless the bucket has a default.
        let second = store.replace(&key, OTHER, Some(&first.version)).await?;
        Ok::<_, Error>((id, second.id()))
    };
    let (id, second) = match begun.await {
        Ok(begun) => begun,
        Err(e) => return vec![Check::error(NAME, &e)],
    };
    vec![
        overwritten(store, &key, &id).await,
        shortened(store, &key, &id, lock).await,
        deleted(store, &key, &id, second.as_ref()).await,
    ]
}

async fn overwritten(store: &Store, key: &str, id: &VersionId) -> Check {
    const NAME: &str = "overwritten";
    match store.get_version(key, id, 1).await {
        Ok(found) if found == PROBE => {
            Check::ok(NAME, "an object was overwritten, and its old version can still be read")
        }
        Ok(_) => Check::fail(NAME, "an overwritten version has another content", "use another server"),
        Err(e) if e.kind() == Kind::NotFound => {
            Check::fail(NAME, "an object was overwritten, and its old version is gone", "use another server")
        }
        Err(e) => Check::not_checked(NAME, format!("not known: {}", why(&e))),
    }
}

async fn shortened(store: &Store, key: &str, id: &VersionId, lock: Lock) -> Check {
    const NAME: &str = "lock shortened";
    let ending = |until: Timestamp| store.set_version_lock(key, id, Lock { until, ..lock });
    let shorter = lock.until.checked_sub(PROBE_STEP).unwrap_or(lock.until);
    match ending(shorter).await {
        Ok(()) => match store.version_lock(key, Some(id)).await {
            Ok(Some(found)) if found.covers(lock) => {
                Check::ok(NAME, "the store said yes, and kept the lock as it was")
            }
            Ok(_) => Check::fail(
                NAME,
                "the store let us make a lock shorter: who stole these credentials can end every lock",
                "take s3:BypassGovernanceRetention from this host, or use another server",
            ),
            Err(e) => Check::not_checked(NAME, format!("not known: {}", why(&e))),
        },
        Err(e) if e.kind() != Kind::Denied => Check::not_checked(NAME, format!("not known: {}", why(&e))),
        // A missing right refuses everything.
        Err(_) => match ending(later(lock.until, PROBE_STEP)).await {
            Ok(()) => Check::ok(NAME, "refused: the store lets us make a lock longer, but not shorter"),
            Err(e) if e.kind() == Kind::Denied => Check::not_checked(
                NAME,
                "refused, but this host may not change locks at all: whether the lock holds is not known",
            ),
            Err(e) => Check::not_checked(NAME, format!("not known: {}", why(&e))),
        },
    }
}

async fn deleted(store: &Store, key: &str, id: &VersionId, unlocked: Option<&VersionId>) -> Check {
    const NAME: &str = "lock deleted";
    match store.remove_version(key, id).await {
        Ok(()) => match store.get_version(key, id, 1).await {
            Ok(found) if found == PROBE => Check::ok(NAME, "the store said yes, and kept the locked version"),
            _ => Check::fail(
                NAME,
                "the store deleted a locked version: locks do not protect anything here",
                "take s3:BypassGovernanceRetention from this host, or use another server",
            ),
        },
        Err(e) if e.kind() != Kind::Denied => Check::not_checked(NAME, format!("not known: {}", why(&e))),
        // Refused by the lock, if an unlocked version can be deleted.
        Err(_) => match unlocked {
            Some(other) if store.remove_version(key, other).await.is_ok() => {
                Check::ok(NAME, "refused: the store deletes an unlocked version, but not a locked one")
            }
            _ => Check::not_checked(
                NAME,
                "refused, but this host may not delete any version: whether the lock holds is not known",
            ),
        },
    }
}

/// An error in a line.
fn why(error: &Error) -> String {
    match error.kind() {
        Kind::Denied => "this host may not ask".to_owned(),
        _ => error.what().to_owned(),
    }
}

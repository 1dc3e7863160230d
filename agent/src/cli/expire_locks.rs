//! What `lifeboat expire` says of locks: how many were read back, which were missing, and which could not be
//! made longer; and of the store's legal holds.

use serde_json::{Value, json};

use crate::clock;
use crate::error::Result;
use crate::names::counted;
use crate::repository::legal_holds::LegalHolds;
use crate::repository::locks::{LockFailure, Locks};

/// Objects that are named one by one.
const SHOWN: usize = 20;

/// Locks; `None` where nothing is locked.
type Looked = Result<Option<Locks>>;

/// For programs.
pub fn locks_json(looked: &Looked) -> Value {
    match looked {
        Ok(None) => Value::Null,
        Ok(Some(locks)) => json!({
            "checked": locks.checked,
            "extended": locks.extended,
            "legal_holds": locks.legal_holds.as_ref().map(|holds| json!({
                "set": holds.set,
                "lifted": holds.lifted,
                "not_lifted": holds.not_lifted,
                "in_doubt": holds.in_doubt,
            })),
            "too_short": locks.too_short,
            "too_short_keys": locks.too_short_keys.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            "failed": locks.failed,
            "failures": locks.failures.iter().map(failure).collect::<Vec<_>>(),
        }),
        Err(e) => json!({ "not_known": e.line() }),
    }
}

fn failure(failure: &LockFailure) -> Value {
    json!({ "key": failure.key, "why": failure.why.line(), "too_long": failure.too_long })
}

/// A line for people; nothing where nothing is locked.
pub fn locks_text(looked: &Looked) -> String {
    match looked {
        Ok(Some(locks)) => format!(
            "locks: {} read back, {} made longer{}\n",
            counted(locks.checked, "version"),
            counted(locks.extended, "lock"),
            locks.legal_holds.as_ref().map(legal_holds).unwrap_or_default(),
        ),
        _ => String::new(),
    }
}

fn legal_holds(LegalHolds { set, lifted, in_doubt, .. }: &LegalHolds) -> String {
    let set = counted(*set, "legal hold");
    match in_doubt {
        Some(why) => format!("; {set} set, none lifted: {why}"),
        None => format!("; {set} set, {lifted} lifted"),
    }
}

/// What somebody must know; `None` where all is well.
pub fn locks_problem(looked: &Looked) -> Option<String> {
    let locks = match looked {
        Ok(None) => return None,
        Ok(Some(locks)) => locks,
        Err(e) => return Some(format!("LOCKS NOT KNOWN: {}", e.line())),
    };
    let mut lines = Vec::new();
    for (key, was) in locks.too_short_keys.iter().take(SHOWN) {
        let was = match was {
            Some(end) => format!("only until {}", clock::text(*end)),
            None => "not at all".to_owned(),
        };
        lines.push(format!("WAS LOCKED TOO SHORT: {key}: {was}; it is locked now as long as it is promised"));
    }
    if let Some(more @ 1..) = locks.too_short.checked_sub(SHOWN as u64) {
        lines.push(format!("WAS LOCKED TOO SHORT: {}; --json names them", counted(more, "other object")));
    }
    for LockFailure { key, too_long, why } in locks.failures.iter().take(SHOWN) {
        let what = if *too_long { "LEGAL HOLD NOT LIFTED" } else { "NOT LOCKED LONG ENOUGH" };
        lines.push(format!("{what}: {key}: {}", why.line()));
    }
    let not_lifted = locks.legal_holds.as_ref().map_or(0, |holds| holds.not_lifted);
    let shown =
        |is_it: bool| locks.failures.iter().take(SHOWN).filter(|one| one.too_long == is_it).count() as u64;
    if let Some(more @ 1..) = locks.failed.checked_sub(shown(false)) {
        lines.push(format!("NOT LOCKED LONG ENOUGH: {}; --json names them", counted(more, "other object")));
    }
    if let Some(more @ 1..) = not_lifted.checked_sub(shown(true)) {
        lines.push(format!("LEGAL HOLD NOT LIFTED: {}; --json names them", counted(more, "other object")));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

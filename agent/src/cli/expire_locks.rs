//! What `lifeboat expire` says of locks: how many were read back, which were missing, and which could not be
//! made longer.

use serde_json::{Value, json};

use crate::clock;
use crate::error::{Error, Result};
use crate::names::counted;
use crate::repository::locks::Locks;

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
            "too_short": locks.too_short,
            "too_short_keys": locks.too_short_keys.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            "failed": locks.failed,
            "failures": locks.failures.iter().map(failure).collect::<Vec<_>>(),
        }),
        Err(e) => json!({ "not_known": e.line() }),
    }
}

fn failure((key, why): &(String, Error)) -> Value {
    json!({ "key": key, "why": why.line() })
}

/// A line for people; nothing where nothing is locked.
pub fn locks_text(looked: &Looked) -> String {
    match looked {
        Ok(Some(locks)) => format!(
            "locks: {} read back, {} made longer\n",
            counted(locks.checked, "version"),
            counted(locks.extended, "lock"),
        ),
        _ => String::new(),
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
    for (key, why) in locks.failures.iter().take(SHOWN) {
        lines.push(format!("NOT LOCKED LONG ENOUGH: {key}: {}", why.line()));
    }
    if let Some(more @ 1..) = locks.failed.checked_sub(SHOWN as u64) {
        lines.push(format!("NOT LOCKED LONG ENOUGH: {}; --json names them", counted(more, "other object")));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

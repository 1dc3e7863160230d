//! Holds: each record is signed by a key that is trusted, for this repository and instance, under its own
//! name; so is its removal. A hold that is not believed counts all the same (docs/retention.md), so it is
//! damage and not a foreign object.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use crate::archive::hold::{HOLD, REMOVED};
use crate::archive::manifest::Origin;
use crate::names::HoldName;
use crate::repository::holds::{HoldLook, OBJECTS, Removal};
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::Findings;

/// How much of the holds was read and compared.
#[derive(Debug, Default)]
pub struct Holds {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Checks every hold below the instance's `holds/`, as `listed`. What is wrong or could not be looked at goes
/// to `findings`.
pub async fn check(
    repository: &Repository,
    (origin, trust): (&Origin, &Trust),
    listed: &HashMap<String, u64>,
    findings: &Findings,
    cancel: &CancellationToken,
) -> Holds {
    let mut seen = Holds::default();
    let folder = format!("{}/", layout::holds(repository.instance()));
    let mut is_any = false;
    for (key, rest) in listed.keys().filter_map(|key| Some((key, key.strip_prefix(&folder)?))) {
        let place = rest.split_once('/').map(|(name, object)| (name.parse::<HoldName>(), object));
        match place {
            Some((Ok(_), object)) if OBJECTS.contains(&object) => is_any = true,
            _ => findings.add_foreign(key, "Lifeboat stores nothing under this name", false),
        }
    }
    if !is_any {
        return seen;
    }
    let Trust::Keys(trusted) = trust else {
        findings.skip(&folder, "a hold is compared with its signature only".to_owned());
        return seen;
    };
    let looks = findings.looked(&folder, "the holds", repository.holds(origin, trusted), cancel).await;
    for (name, look) in looks.into_iter().flatten() {
        let key = |object| layout::hold_object(repository.instance(), &name, object);
        match look {
            HoldLook::Stored(stored) => {
                seen.objects += stored.objects;
                seen.bytes += stored.bytes;
                if let Removal::InDoubt(e) = stored.removal {
                    findings.sort(&key(REMOVED), e, Vec::new());
                }
            }
            look => {
                if let Some(e) = look.why_unknown(&name) {
                    findings.sort(&key(HOLD), e, Vec::new());
                }
            }
        }
    }
    seen
}

//! The drills that are stored: for `list`, `show`, `compare` and `report`, and for the report of the next
//! drill.
//!
//! Whoever can write to the repository can write there what they like. So a report counts only if a trusted
//! key signed it, for this repository and instance, and under its own name. One that nobody signed is shown
//! as such; one that a stranger signed is not even read, since it may have any size.

use futures::{Stream, StreamExt, stream};
use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill::{self, BYTES_MAX, Envelope};
use lifeboat::archive::evidence::predicate::SnapshotRef;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::repository::layout;

use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::past::{Past, Previous};
use crate::vault::Vault;

/// Reports that are looked at for the history of a tenant, and that `list` shows: the newest.
pub const LOOKED_MAX: usize = 100;
/// Earlier drills of the tenant in a report.
const HISTORY_MAX: usize = 7;
/// Reports that are read at a time.
const AT_ONCE: usize = 8;

/// A stored report that belongs where it is.
pub struct Stored {
    /// It in one line.
    pub past: Past,
    /// Whether a trusted key signed it; otherwise nobody did.
    pub signed: bool,
    /// The bytes of `report.json`.
    pub json: Vec<u8>,
}

impl Stored {
    /// The whole report.
    ///
    /// # Errors
    /// `Repository` if another version of the program wrote it, with other keys.
    pub fn report(&self) -> Result<Report> {
        drill::read(&self.json).map_err(|e| {
            let what = format!("the report of drill {} has keys of another version", self.past.drill);
            Error::new(Kind::Repository, what).because(e.causes().join(": ")).next(format!(
                "restore-drill report {} --format md shows it as it was written",
                self.past.drill
            ))
        })
    }
}

/// Whether this is the name of a drill: `<UTC second>-drill-<8 hex digits>`. Nothing else becomes a part of a
/// key.
fn is_name(text: &str) -> bool {
    let Some((second, number)) = text.split_once("-drill-") else { return false };
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    second.len() == 16
        && second.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'T' | b'Z'))
        && number.len() == 8
        && number.bytes().all(hex)
}

/// The names of the stored drills, the newest first.
///
/// # Errors
/// Those of the store.
pub async fn names(vault: &Vault) -> Result<Vec<String>> {
    let repository = vault.repository();
    let mut names = repository.store().list_dirs(&layout::drills(repository.instance())).await?;
    names.retain(|name| is_name(name));
    names.sort_by(|a, b| b.cmp(a));
    Ok(names)
}

/// One report.
///
/// # Errors
/// `NotFound` if there is none; `Signature` if a stranger signed it, or its signature is gone; `Integrity` if
/// it is damaged or belongs elsewhere; those of the store.
pub async fn read(vault: &Vault, name: &str) -> Result<Stored> {
    if !is_name(name) {
        return Err(Error::new(Kind::Usage, format!("{name:?} is not the name of a drill"))
            .next("restore-drill list shows their names"));
    }
    let (repository, trust) = (vault.repository(), vault.trust());
    let record = repository.drill_record(name);
    let signed = match trust.trusted() {
        Some(trusted) => record.read(repository, &trusted).await?,
        None => None,
    };
    let (json, signed) = match signed {
        Some(signed) => (signed.record.to_vec(), true),
        None => (repository.get_unproven(&record.key, BYTES_MAX).await?.to_vec(), false),
    };
    let bad =
        |kind, why: &str| Error::new(kind, format!("the report of drill {name} counts for nothing: {why}"));
    let envelope: Envelope = drill::read(&json)?;
    if envelope.drill != name {
        return Err(bad(Kind::Integrity, "it is that of another drill"));
    }
    if let Some(place) = &envelope.stored {
        if place.repository.as_deref() != Some(repository.id())
            || place.instance.as_ref() != Some(repository.instance())
        {
            return Err(bad(Kind::Integrity, "it was written for another repository or instance"));
        }
        if place.signed && !signed {
            return Err(bad(Kind::Signature, "it was signed, and its signature is missing"));
        }
    }
    Ok(Stored { past: drill::read(&json)?, signed, json })
}

/// Reads the newest reports, in order.
pub fn newest<'a>(
    vault: &'a Vault,
    names: &'a [String],
) -> impl Stream<Item = (&'a str, Result<Stored>)> + Send + 'a {
    let read = move |name: &'a String| async move { (name.as_str(), read(vault, name).await) };
    stream::iter(names.iter().take(LOOKED_MAX)).map(read).buffered(AT_ONCE)
}

/// Adds to the report of a drill that just ended: the digests of what it restored, and the drills before it.
/// What could not be read is a finding: the report of a drill is never lost for it.
pub async fn complete(report: &mut Report, vault: &Vault) {
    if let Err(e) = manifests(report, vault).await {
        note(report, "the digests of the manifests are not known", &e);
    }
    if let Err(e) = earlier(report, vault).await {
        note(report, "the earlier drills are not known", &e);
    }
}

fn note(report: &mut Report, what: &str, error: &Error) {
    report.findings.push(Finding::new("report", State::NotRun, format!("{what}: {}", error.line())));
}

async fn manifests(report: &mut Report, vault: &Vault) -> Result<()> {
    let Some(snapshot) = &report.snapshot else { return Ok(()) };
    let repository = vault.repository();
    let origin = repository.origin().await?;
    for id in [Some(&snapshot.id), snapshot.filestore.as_ref()].into_iter().flatten() {
        let (manifest, manifest_sha256) = repository.digested_manifest(id, &origin, vault.trust()).await?;
        report.manifests.push(SnapshotRef { id: id.clone(), manifest_sha256 });
        report.recipients.extend(manifest.recipients);
    }
    report.recipients.sort();
    report.recipients.dedup();
    Ok(())
}

async fn earlier(report: &mut Report, vault: &Vault) -> Result<()> {
    let names = names(vault).await?;
    let mut all = std::pin::pin!(newest(vault, &names));
    while let Some((_, read)) = all.next().await {
        let stored = match read {
            Ok(stored) if stored.signed => stored,
            Err(e) if !e.is_damage() && e.kind() != Kind::NotFound => return Err(e),
            Ok(_) | Err(_) => continue, // it counts for nothing, or is being written
        };
        let past = stored.past;
        if past.tenant == report.tenant {
            if report.previous.is_none() {
                let sha256 = Sha256::of(&stored.json);
                report.previous = Some(Previous { drill: past.drill.clone(), sha256 });
            }
            if report.history.len() < HISTORY_MAX {
                report.history.push(past);
            }
        } else if report.others.iter().all(|other| other.tenant != past.tenant) {
            report.others.push(past);
        }
    }
    report.others.sort_by_key(|past| (past.verdict.rank(), std::cmp::Reverse(past.rto.measured_ms)));
    Ok(())
}

/// Whether the report that this one names as the one before is stored as it was; `None` where it names none.
///
/// # Errors
/// Those of the store.
pub async fn chain(report: &Report, vault: &Vault) -> Result<Option<String>> {
    let Some(previous) = &report.previous else { return Ok(None) };
    Ok(Some(match read(vault, &previous.drill).await {
        Ok(stored) if Sha256::of(&stored.json) == previous.sha256 => "stored as it was then".to_owned(),
        Ok(_) => "ALTERED: another report is stored under its name".to_owned(),
        Err(e) if e.kind() == Kind::NotFound => "not stored any more".to_owned(),
        Err(e) if e.is_damage() => format!("ALTERED: {}", e.line()),
        Err(e) => return Err(e),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_drill_becomes_a_part_of_a_key() {
        assert!(is_name("20261130T114000Z-drill-0a1b2c3d"));
        for other in ["", "..", "20261130T114000Z-drill-0A1B2C3D", "20261130T11400/Z-drill-0a1b2c3d"] {
            assert!(!is_name(other), "{other}");
        }
        assert!(!is_name("../../20261130T114000Z-drill-0a1b2c3d") && !is_name("x-drill-0a1b2c3d"));
        assert!(!is_name("20261130T114000Z-drill-0a1b2c3d/../x"));
    }
}

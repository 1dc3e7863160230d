//! Choosing a base backup for a target: the newest from which it can be reached. What cannot be
//! reached is refused here, with the nearest that can.

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::wal_records::Mark;
use crate::error::{Error, Kind, Result};
use crate::inventory::choice::{self, Bases, Choice, Reached};
use crate::inventory::lives::lives;
use crate::inventory::reach::Reach;
use crate::inventory::take::{Wanted, Which};
use crate::inventory::target::Target;
use crate::inventory::{Inventory, Snapshot};
use crate::names::Lsn;
use crate::names::wal::SegmentBytes;
use crate::recovery::instance::InstanceRequest;
use crate::recovery::instance::aim::{Aim, aim, find_restore_point};
use crate::recovery::instance::marks::Way;
use crate::recovery::instance::stored::{stored_wal, wal_reader};
use crate::recovery::instance::timeline;
use crate::repository::Repository;
use crate::repository::wal::WalReader;

/// What was chosen.
pub struct Chosen {
    /// The base backup.
    pub base: Manifest,
    /// How far it goes; `None` where WAL comes by a command of the user's.
    pub reach: Option<Reach>,
    /// What PostgreSQL is told to stop at.
    pub target: Target,
    /// The restore point that was asked for.
    pub restore_point: Option<Mark>,
    /// What a person should know of the choice.
    pub warnings: Vec<String>,
}

/// Who looks into stored WAL.
struct Look {
    reader: WalReader,
    segment_bytes: SegmentBytes,
}

impl Look {
    fn way<'a>(&'a self, on: &'a Reached<'_>) -> Way<'a> {
        Way {
            reader: &self.reader,
            path: &on.reach.path,
            begin: on.facts.start_lsn,
            end: on.reach.end,
            segment_bytes: self.segment_bytes,
        }
    }
}

/// Finds the base backup, and what recovery is told.
///
/// # Errors
/// `NotFound` where there is none, `Refused` where none leads to the target.
pub async fn choose(repository: &Repository, origin: &Origin, request: &InstanceRequest) -> Result<Chosen> {
    let snapshots = match &request.snapshot {
        Some(id) => Which::Ids(vec![id.clone()]),
        None => Which::Kind(SnapshotKind::Base),
    };
    let wanted = Wanted { snapshots, ..Wanted::default() };
    let inventory = Inventory::take(repository, &request.trust, &wanted).await?;
    let Bases { bases, passed_over: mut warnings } =
        choice::bases(&inventory, request.snapshot.as_ref(), request.release.as_ref())?;
    let Some(newest) = bases.last() else { return Err(no_base(repository, request, &warnings)) };
    if request.restore_command.is_some() {
        return by_own_command(repository, origin, request, &bases, warnings).await;
    }
    let segment_bytes = SegmentBytes::try_from(newest.manifest.base_facts()?.wal_segment_bytes)?;
    let look = Look { reader: wal_reader(repository, origin, request), segment_bytes };
    let trusted = (origin, &request.trust);
    let wal = stored_wal(&look.reader, trusted, segment_bytes, &mut warnings).await?;
    let lives = lives(&wal, inventory.of_kind(SnapshotKind::Base, None));
    let Choice { mut reached, others, obstacles } =
        choice::choose(&bases, &wal, &lives, &request.target, request.timeline)?;
    if reached.is_empty() {
        if let Some(first) = others.first() {
            timeline::ask(request, &wal, &lives, &look.way(first), first, None).await?;
        }
        let nearest = nearest(request, &bases, &others, &look).await?;
        return Err(unreachable(request, obstacles).next(nearest));
    }
    let (mut target, mut restore_point) = (request.target.clone(), None);
    let chosen = match &request.target {
        Target::RestorePoint(name) => {
            let (chosen, found, note) = with_restore_point(name, reached, &look).await?;
            warnings.extend(note);
            restore_point = found;
            chosen
        }
        wanted => {
            let chosen = reached.swap_remove(0);
            let Aim { target: aimed, note } = aim(&look.way(&chosen), chosen.facts, wanted).await?;
            warnings.extend(note);
            target = aimed;
            chosen
        }
    };
    let found = restore_point.as_ref().map(|mark| mark.lsn);
    warnings.extend(timeline::check(request, &wal, &lives, &look.way(&chosen), &chosen, found).await?);
    let Reached { base, reach, .. } = chosen;
    warnings.extend(base.clock_note().map(|note| format!("base backup {} was {note}", base.manifest.id)));
    if let Some(gap) = reach.gap_until {
        let end = reach.end;
        warnings.push(format!("WAL from {end} to {gap} is missing: recovery stops at {end}"));
    }
    if reach.is_contradicted {
        let end = reach.end;
        warnings
            .push(format!("WAL at {end} is stored twice, with different content: recovery stops at {end}"));
    }
    let base = repository.manifest(&base.manifest.id, origin, &request.trust).await?;
    Ok(Chosen { base, reach: Some(reach), target, restore_point, warnings })
}

/// The newest base backup before a restore point, and the restore point; the oldest one where WAL
/// cannot be looked into.
async fn with_restore_point<'a>(
    name: &str,
    reached: Vec<Reached<'a>>,
    look: &Look,
) -> Result<(Reached<'a>, Option<Mark>, Option<String>)> {
    // Base backups behind a gap go further than those before it: each stretch of WAL is read once.
    let (mut points, mut begin) = (Vec::new(), None);
    for (place, one) in reached.iter().enumerate().rev() {
        if place + 1 < reached.len() && reached[place + 1].reach.end == one.reach.end {
            continue;
        }
        begin = begin.or(Some(one.facts.stop_lsn));
        match look.way(one).restore_points().await {
            Ok(found) => points.extend(found),
            Err(e) if e.kind() == Kind::Integrity => {
                let note = format!("whether there is a restore point {name} is not known: {}", e.what());
                let oldest = reached.into_iter().next_back();
                let oldest = oldest.ok_or_else(|| Error::new(Kind::Internal, "no base backup"))?;
                return Ok((oldest, None, Some(note)));
            }
            Err(e) => return Err(e),
        }
    }
    let (found, note) = find_restore_point(&points, name, begin.unwrap_or(Lsn(0)))?;
    let before = |one: &Reached<'_>| one.facts.stop_lsn <= found.lsn && one.reach.end > found.lsn;
    match reached.into_iter().find(before) {
        Some(chosen) => Ok((chosen, Some(found), note)),
        None => Err(Error::new(Kind::Refused, format!("restore point {name} cannot be reached"))
            .because(format!("it lies at {}, before what any base backup reaches", found.lsn))
            .effect("nothing was changed")),
    }
}

/// The choice where WAL comes by a command of the user's.
async fn by_own_command(
    repository: &Repository,
    origin: &Origin,
    request: &InstanceRequest,
    bases: &[&Snapshot],
    mut warnings: Vec<String>,
) -> Result<Chosen> {
    warnings.push("WAL comes by --restore-command: whether it reaches the target is not known".into());
    let fits = bases.iter().rev().find(|base| is_before(&request.target, base)).ok_or_else(|| {
        let later = |base: &&Snapshot| format!("{}: it is consistent only later", base.manifest.id);
        unreachable(request, bases.iter().map(later).collect())
    })?;
    let base = repository.manifest(&fits.manifest.id, origin, &request.trust).await?;
    let target = request.target.clone();
    Ok(Chosen { base, reach: None, target, restore_point: None, warnings })
}

fn no_base(repository: &Repository, request: &InstanceRequest, warnings: &[String]) -> Error {
    let place = format!("in {} for instance {}", repository.store().url(), repository.instance());
    let error = match &request.release {
        Some(release) => Error::new(
            Kind::NotFound,
            format!("no base backup {place} is tied to release {release}"),
        )
        .next(
            "lifeboat list --kind base names releases; a dump's: lifeboat restore --tenant NAME --release ID",
        ),
        None => Error::new(Kind::NotFound, format!("no base backup {place}")).next(
            "lifeboat backup --kind base makes one; lifeboat restore --tenant NAME restores from a dump",
        ),
    };
    match warnings.is_empty() {
        true => error,
        false => error.because(warnings.join("; ")),
    }
}

/// Whether the base backup is consistent before the target.
fn is_before(target: &Target, base: &Snapshot) -> bool {
    match target {
        Target::Time(time) => base.manifest.point <= *time,
        Target::Lsn(lsn) => base.manifest.base.as_ref().is_some_and(|facts| facts.stop_lsn <= *lsn),
        _ => true,
    }
}

fn unreachable(request: &InstanceRequest, obstacles: Vec<String>) -> Error {
    Error::new(Kind::Refused, format!("{} cannot be reached", request.target))
        .because(obstacles.join("; "))
        .effect("nothing was changed")
}

/// The nearest target that can be reached, as a command.
async fn nearest(
    request: &InstanceRequest,
    bases: &[&Snapshot],
    others: &[Reached<'_>],
    look: &Look,
) -> Result<String> {
    let again = |target: String| request.command(&target);
    if let Some(oldest) = bases.first() {
        match &request.target {
            Target::Time(time) if *time < oldest.manifest.point => {
                let point = oldest.manifest.point;
                return Ok(format!(
                    "the earliest moment is {point}: {}",
                    again(format!("--to-time {point}"))
                ));
            }
            Target::Lsn(lsn) if *lsn < oldest.manifest.base_facts()?.stop_lsn => {
                let stop = oldest.manifest.base_facts()?.stop_lsn;
                return Ok(format!("the earliest position is {stop}: {}", again(format!("--to-lsn {stop}"))));
            }
            _ => {}
        }
    }
    let before = others.iter().filter(|one| is_before(&request.target, one.base));
    let furthest = before.max_by_key(|one| one.reach.end);
    let Some(furthest) = furthest else { return Ok("lifeboat wal status shows the windows".to_owned()) };
    Ok(match look.way(furthest).tail().await?.latest {
        Some(last) => {
            let time = last.time;
            format!("the last stored commit before it is of {time}: {}", again(format!("--to-time {time}")))
        }
        None => format!(
            "the stored WAL has no commit after {}: {}",
            furthest.base.manifest.point,
            again(format!("--snapshot {} --to immediate", furthest.base.manifest.id))
        ),
    })
}

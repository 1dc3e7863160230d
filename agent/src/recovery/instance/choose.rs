//! Choosing a base backup for a target: the newest from which it can be reached. What cannot be
//! reached is refused here, with the nearest that can.

use crate::archive::manifest::{Manifest, Origin};
use crate::archive::wal_records::Mark;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::SegmentBytes;
use crate::recovery::instance::Request;
use crate::recovery::instance::aim::{Aim, aim, find_restore_point};
use crate::recovery::instance::marks::Way;
use crate::recovery::instance::reach::{Reach, obstacle, reach};
use crate::recovery::instance::stored::{bases, stored_wal, wal_reader};
use crate::recovery::instance::target::Target;
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

/// A base backup and how far it goes.
type Reached<'a> = (&'a Manifest, Reach);

/// Who looks into stored WAL.
struct Look {
    reader: WalReader,
    segment_bytes: SegmentBytes,
}

impl Look {
    fn way<'a>(&'a self, (base, reach): &'a Reached<'_>) -> Result<Way<'a>> {
        Ok(Way {
            reader: &self.reader,
            path: &reach.path,
            begin: base.base_facts()?.start_lsn,
            end: reach.end,
            segment_bytes: self.segment_bytes,
        })
    }
}

/// Finds the base backup, and what recovery is told.
///
/// # Errors
/// `NotFound` where there is none, `Refused` where none leads to the target.
pub async fn choose(repository: &Repository, origin: &Origin, request: &Request) -> Result<Chosen> {
    let mut warnings = Vec::new();
    let bases = bases(repository, origin, request, &mut warnings).await?;
    let Some(newest) = bases.last() else { return Err(no_base(repository, request, &warnings)) };
    if request.restore_command.is_some() {
        return by_own_command(request, &bases, warnings);
    }
    let segment_bytes = SegmentBytes::try_from(newest.base_facts()?.wal_segment_bytes)?;
    let look = Look { reader: wal_reader(repository, origin, request), segment_bytes };
    let wal = stored_wal(&look.reader, segment_bytes, &mut warnings).await?;
    let (mut reached, mut others, mut obstacles) = (Vec::new(), Vec::new(), Vec::new());
    for base in bases.iter().rev() {
        let facts = base.base_facts()?;
        let Some(reach) = reach(facts, base.point, &wal, request.timeline) else {
            obstacles.push(said(base, "its timeline does not lead to the one that was asked for"));
            continue;
        };
        match obstacle(facts, base.point, &reach, &request.target) {
            Some(why) => {
                obstacles.push(said(base, &why));
                others.push((base, reach));
            }
            None => reached.push((base, reach)),
        }
    }
    if reached.is_empty() {
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
            let Aim { target: aimed, note } =
                aim(&look.way(&chosen)?, chosen.0.base_facts()?, wanted).await?;
            warnings.extend(note);
            target = aimed;
            chosen
        }
    };
    let found = restore_point.as_ref().map(|mark| mark.lsn);
    warnings.extend(timeline::check(request, &wal, &look.way(&chosen)?, &chosen, found).await?);
    let (base, reach) = chosen;
    if let Some(gap) = reach.gap_until {
        warnings.push(format!(
            "WAL from {} to {gap} is not stored: what came after it is out of reach",
            reach.end
        ));
    }
    if reach.is_contradicted {
        let end = reach.end;
        warnings.push(format!(
            "WAL at {end} is stored twice, with different content: what comes there is out of reach"
        ));
    }
    Ok(Chosen { base: base.clone(), reach: Some(reach), target, restore_point, warnings })
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
        if place + 1 < reached.len() && reached[place + 1].1.end == one.1.end {
            continue;
        }
        begin = begin.or(Some(one.0.base_facts()?.stop_lsn));
        match look.way(one)?.restore_points().await {
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
    let before = |(base, reach): &Reached<'_>| {
        base.base_facts().is_ok_and(|facts| facts.stop_lsn <= found.lsn) && reach.end > found.lsn
    };
    match reached.into_iter().find(before) {
        Some(chosen) => Ok((chosen, Some(found), note)),
        None => Err(Error::new(Kind::Refused, format!("restore point {name} cannot be reached"))
            .because(format!("it lies at {}, before what any base backup reaches", found.lsn))
            .effect("nothing was changed")),
    }
}

/// The choice where WAL comes by a command of the user's.
fn by_own_command(request: &Request, bases: &[Manifest], mut warnings: Vec<String>) -> Result<Chosen> {
    warnings.push("WAL comes by --restore-command: whether it reaches the target is not known".into());
    let before = |base: &&Manifest| match &request.target {
        Target::Lsn(lsn) => base.base.as_ref().is_some_and(|facts| facts.stop_lsn <= *lsn),
        Target::Time(time) => base.point <= *time,
        _ => true,
    };
    let fits = bases.iter().rev().find(before).ok_or_else(|| {
        unreachable(request, bases.iter().map(|base| said(base, "it is consistent only later")).collect())
    })?;
    let (base, target) = (fits.clone(), request.target.clone());
    Ok(Chosen { base, reach: None, target, restore_point: None, warnings })
}

fn no_base(repository: &Repository, request: &Request, warnings: &[String]) -> Error {
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

fn said(base: &Manifest, why: &str) -> String {
    format!("{}: {why}", base.id)
}

fn unreachable(request: &Request, obstacles: Vec<String>) -> Error {
    Error::new(Kind::Refused, format!("{} cannot be reached", request.target))
        .because(obstacles.join("; "))
        .effect("nothing was changed")
}

/// The nearest target that can be reached, as a command.
async fn nearest(
    request: &Request,
    bases: &[Manifest],
    others: &[Reached<'_>],
    look: &Look,
) -> Result<String> {
    let command = request.command();
    if let Some(oldest) = bases.first() {
        match &request.target {
            Target::Time(time) if *time < oldest.point => {
                let point = oldest.point;
                return Ok(format!("the earliest moment is {point}: {command} --to-time {point}"));
            }
            Target::Lsn(lsn) if *lsn < oldest.base_facts()?.stop_lsn => {
                let stop = oldest.base_facts()?.stop_lsn;
                return Ok(format!("the earliest position is {stop}: {command} --to-lsn {stop}"));
            }
            _ => {}
        }
    }
    let is_before = |base: &Manifest| match &request.target {
        Target::Time(time) => base.point <= *time,
        Target::Lsn(lsn) => base.base.as_ref().is_some_and(|facts| facts.stop_lsn <= *lsn),
        _ => true,
    };
    let furthest = others.iter().filter(|(base, _)| is_before(base)).max_by_key(|(_, reach)| reach.end);
    let Some(furthest) = furthest else { return Ok("lifeboat wal status shows the windows".to_owned()) };
    Ok(match look.way(furthest)?.tail().await?.latest {
        Some(last) => {
            let time = last.time;
            format!("the last commit before that which is stored is of {time}: {command} --to-time {time}")
        }
        None => format!(
            "nothing was committed after {} as far as it is stored: {command} --snapshot {} --to immediate",
            furthest.0.point, furthest.0.id
        ),
    })
}

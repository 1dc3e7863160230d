//! Chooses a base backup for a target, with an identity: the plan of the inventory, from decrypted WAL. A
//! target that cannot be reached is refused here, with the nearest one that can.

use crate::archive::manifest::{Manifest, Origin};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::inventory::choice::{self, Reached, is_before};
use crate::inventory::decide::{RestorePoint, Seen};
use crate::inventory::lives::rivals;
use crate::inventory::plan::{Found, PointPlan};
use crate::inventory::target::Target;
use crate::inventory::{Part, Snapshot};
use crate::names::Lsn;
use crate::names::wal::SegmentBytes;
use crate::recovery::instance::InstanceRequest;
use crate::recovery::instance::aim::{Aim, aim, find_restore_point};
use crate::recovery::instance::marks::Way;
use crate::recovery::instance::stored::{stored_wal, wal_reader};
use crate::recovery::stored::bases;
use crate::repository::Repository;
use crate::repository::wal::WalReader;

/// What was chosen.
pub struct Chosen {
    /// The source of the restore.
    pub plan: PointPlan,
    /// The base backup.
    pub base: Manifest,
    /// The recovery target for PostgreSQL.
    pub target: Target,
}

/// Reads stored WAL.
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

    /// What must be known about the WAL before a base backup is chosen.
    async fn see(&self, found: &Found<'_>, request: &InstanceRequest) -> Result<Seen> {
        let mut seen = Seen::default();
        match &request.asked.target {
            Target::RestorePoint(name) if !found.choice.reached.is_empty() => {
                self.find_restore_point(name, &found.choice.reached, &mut seen).await?;
            }
            Target::Time(time) if request.asked.timeline.is_none() => {
                if let (Some(on), Some((wal, lives))) = (found.first(), &found.wal)
                    && let Some((_, common)) = rivals(wal, lives, on.reach.timeline)
                {
                    let tail = Way { end: common, ..self.way(on) }.tail().await?;
                    seen.is_before_parting = tail.latest.is_some_and(|latest| latest.time > *time);
                }
            }
            _ => {}
        }
        Ok(seen)
    }

    async fn find_restore_point(&self, name: &str, reached: &[Reached<'_>], seen: &mut Seen) -> Result<()> {
        // Base backups after a gap reach further than those before it: each range of WAL is read once.
        let (mut points, mut begin) = (Vec::new(), None);
        for (place, one) in reached.iter().enumerate().rev() {
            if place + 1 < reached.len() && reached[place + 1].reach.end == one.reach.end {
                continue;
            }
            begin = begin.or(Some(one.facts.stop_lsn));
            match self.way(one).restore_points().await {
                Ok(found) => points.extend(found),
                Err(e) if e.kind() == Kind::Integrity => {
                    let note = format!("it is unknown whether restore point {name} exists: {}", e.what());
                    seen.restore_point = RestorePoint::NotRead;
                    seen.notes.push(note);
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        let (found, note) = find_restore_point(&points, name, begin.unwrap_or(Lsn(0)))?;
        seen.restore_point = RestorePoint::At(found);
        seen.notes.extend(note);
        Ok(())
    }
}

/// Finds the base backup and the recovery target.
///
/// # Errors
/// `NotFound` if there is no base backup, `Refused` if the target cannot be reached from any.
pub async fn choose(repository: &Repository, origin: &Origin, request: &InstanceRequest) -> Result<Chosen> {
    let (asked, trust) = (&request.asked, &request.trust);
    let mut inventory = bases(repository, trust, asked, false).await?;
    let newest = choice::bases(&inventory, asked.snapshot.as_ref(), asked.release.as_ref())?.bases.pop();
    let segment_bytes = newest.map(|base| base.manifest.base_facts().map(|facts| facts.wal_segment_bytes));
    let mut look = None;
    let mut notes = Vec::new();
    if let (Some(bytes), false) = (segment_bytes.transpose()?, asked.own_command) {
        let segment_bytes = SegmentBytes::try_from(bytes)?;
        let reader = wal_reader(repository, origin, request);
        let wal = stored_wal(&reader, (origin, trust), segment_bytes, &mut notes).await?;
        inventory.wal = Part::Found(wal);
        look = Some(Look { reader, segment_bytes });
    }
    let found = Found::find(&inventory, asked)?;
    let Some(look) = look else {
        let plan = found.plan(&Seen::default(), clock::now())?;
        let base = repository.manifest(&plan.snapshot, origin, trust).await?;
        return Ok(Chosen { target: plan.target.clone(), plan, base });
    };
    let mut seen = look.see(&found, request).await?;
    seen.notes.splice(0..0, notes);
    let is_known = found.first().is_none_or(|on| found.undecided(on, &seen).is_none());
    if found.choice.reached.is_empty() && is_known {
        let nearest = nearest(request, &found.bases, &found.choice.others, &look).await?;
        return Err(found.unreachable().next(nearest));
    }
    let mut plan = found.plan(&seen, clock::now())?;
    let base = repository.manifest(&plan.snapshot, origin, trust).await?;
    let Some(reach) = &plan.reach else {
        return Err(Error::new(Kind::Internal, "a base backup and no WAL"));
    };
    let facts = base.base_facts()?;
    let way = Way {
        reader: &look.reader,
        path: &reach.path,
        begin: facts.start_lsn,
        end: reach.end,
        segment_bytes: look.segment_bytes,
    };
    let Aim { target, note } = aim(&way, facts, &plan.target).await?;
    plan.warnings.extend(note);
    Ok(Chosen { plan, base, target })
}

/// The nearest reachable target, as a command.
async fn nearest(
    request: &InstanceRequest,
    bases: &[&Snapshot],
    others: &[Reached<'_>],
    look: &Look,
) -> Result<String> {
    let again = |target: String| request.command(&target);
    if let Some(oldest) = bases.first() {
        match &request.asked.target {
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
    let before = others.iter().filter(|one| is_before(&request.asked.target, one.base));
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

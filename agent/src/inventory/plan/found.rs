//! What an inventory has for a point in time, and the choice among it.

use crate::archive::base::BaseFacts;
use crate::archive::manifest::SnapshotKind;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::choice::{Bases, Choice, Reached, bases, choose, is_before};
use crate::inventory::decide::{RestorePoint, Seen, Undecided, left_behind, undecided};
use crate::inventory::lives::{Life, lives};
use crate::inventory::needs::{Graph, cannot_without};
use crate::inventory::plan::point::{PointAsked, PointPlan};
use crate::inventory::reach::{Reach, StoredWal};
use crate::inventory::target::Target;
use crate::inventory::{Inventory, Snapshot};

impl PointPlan {
    /// The plan without an identity: the content of the WAL is not known.
    ///
    /// # Errors
    /// As [`Found::find`] and [`Found::plan`].
    pub fn new(inventory: &Inventory, asked: &PointAsked, now: Timestamp) -> Result<PointPlan> {
        Found::find(inventory, asked)?.plan(&Seen::default(), now)
    }
}

/// What an inventory has for a target, before anything was chosen.
pub struct Found<'a> {
    inventory: &'a Inventory,
    asked: &'a PointAsked,
    /// The base backups that may be used, the oldest first.
    pub bases: Vec<&'a Snapshot>,
    /// Which of them reach the target, and which do not; empty if a command of the user's fetches the WAL.
    pub choice: Choice<'a>,
    /// The WAL, and who wrote it; `None` if a command of the user's fetches it.
    pub wal: Option<(&'a StoredWal, Vec<Life>)>,
    skipped: Vec<String>,
}

impl<'a> Found<'a> {
    /// Looks.
    ///
    /// # Errors
    /// `NotFound` if there is no base backup; the store's error, if base backups or WAL could not be read.
    pub fn find(inventory: &'a Inventory, asked: &'a PointAsked) -> Result<Found<'a>> {
        let Bases { bases, skipped } = bases(inventory, asked.snapshot.as_ref(), asked.release.as_ref())?;
        if bases.is_empty() {
            return Err(no_base(inventory, asked, &skipped));
        }
        let (mut choice, mut wal) = (Choice::default(), None);
        if !asked.own_command {
            let stored = inventory.wal()?;
            let lives = lives(stored, inventory.of_kind(SnapshotKind::Base, None));
            choice = choose(&bases, stored, &lives, &asked.target, asked.timeline)?;
            wal = Some((stored, lives));
        }
        Ok(Found { inventory, asked, bases, choice, wal, skipped })
    }

    /// The newest base backup that reaches the target; if none does, the newest of all.
    pub fn first(&self) -> Option<&Reached<'a>> {
        self.choice.reached.first().or(self.choice.others.first())
    }

    /// Why only a person, or somebody with an identity, can tell whether `on` is the right choice.
    pub fn undecided(&self, on: &Reached<'_>, seen: &Seen) -> Option<Undecided> {
        let (wal, lives) = self.wal.as_ref()?;
        undecided(on, wal, lives, (&self.asked.target, self.asked.timeline), seen)
    }

    /// The error: no base backup reaches the target.
    pub fn unreachable(&self) -> Error {
        let later = |base: &&Snapshot| format!("{}: it is consistent only later", base.manifest.id);
        let obstacles = match self.asked.own_command {
            true => self.bases.iter().map(later).collect(),
            false => self.choice.obstacles.clone(),
        };
        Error::new(Kind::Refused, format!("{} cannot be reached", self.asked.target))
            .because(obstacles.join("; "))
            .effect("nothing was changed")
    }

    /// The plan; `seen` is what decrypted WAL says.
    ///
    /// # Errors
    /// `Refused` if nothing reaches the target, or if it is not known which timeline is right. `Integrity` if
    /// two servers claim the same timeline. What is wrong with a snapshot that the base backup needs.
    pub fn plan(self, seen: &Seen, now: Timestamp) -> Result<PointPlan> {
        let asked = self.asked;
        let (base, reach) = match asked.own_command {
            true => {
                let fits = self.bases.iter().rev().find(|base| is_before(&asked.target, base));
                (*fits.ok_or_else(|| self.unreachable())?, None)
            }
            false => {
                let chosen = self.decide(seen)?;
                (chosen.base, Some(chosen.reach.clone()))
            }
        };
        let (manifest, facts) = (&base.manifest, base.manifest.base_facts()?);
        let mut stored_bytes = 0;
        for needed in Graph::of([manifest]).needs(&manifest.id) {
            let found = self.inventory.named(&needed).map_err(|e| cannot_without(e, manifest, &needed))?;
            stored_bytes += found.stored_bytes;
        }
        let mark = seen.restore_point.mark();
        let end = reach.as_ref().map_or(facts.stop_lsn, |reach| reach.end);
        let replay_to = match (&asked.target, mark) {
            (Target::Immediate, _) => facts.stop_lsn,
            (Target::RestorePoint(_), Some(mark)) => mark.lsn,
            (Target::Lsn(lsn), _) => *lsn,
            _ => end,
        };
        let last = match &asked.target {
            Target::Immediate => Some(manifest.point),
            Target::Time(time) => Some(*time),
            Target::Latest => reach.as_ref().map(|reach| reach.stored_at),
            Target::RestorePoint(_) => mark.map(|mark| mark.time),
            Target::Lsn(_) => None,
        };
        Ok(PointPlan {
            repository: self.inventory.repository.clone(),
            instance: self.inventory.instance.clone(),
            tenant: asked.tenant.clone(),
            snapshot: manifest.id.clone(),
            chain: facts.chain.clone(),
            base_point: manifest.point,
            base_lsn: facts.stop_lsn,
            server_version: facts.server_version.clone(),
            target: asked.target.clone(),
            restore_point: mark.cloned(),
            wal_end: reach.as_ref().map(|reach| reach.end),
            wal_stored_at: reach.as_ref().map(|reach| reach.stored_at),
            timeline: reach.as_ref().map(|reach| reach.timeline.0),
            loss_seconds: last.map(|last| now.as_second() - last.as_second()),
            stored_bytes,
            wal_bytes: replay_to.0.saturating_sub(facts.start_lsn.0),
            lacks: facts.left_out.iter().map(|left| format!("{}: {}", left.what, left.why)).collect(),
            warnings: self.warnings(base, facts, reach.as_ref(), seen),
            reach,
        })
    }

    /// The one way.
    fn decide(&self, seen: &Seen) -> Result<&Reached<'a>> {
        let reached = &self.choice.reached;
        let chosen = match (&self.asked.target, &seen.restore_point) {
            (Target::RestorePoint(name), RestorePoint::NotLooked) if !reached.is_empty() => {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the position of restore point {name} is not known without an identity"),
                )
                .because("it is a record in the WAL, which is encrypted")
                .effect("nothing was changed")
                .next("give the identity, or name its position: --to-lsn LSN"));
            }
            (Target::RestorePoint(name), RestorePoint::At(mark)) => {
                let before = |one: &&Reached<'_>| one.facts.stop_lsn <= mark.lsn && one.reach.end > mark.lsn;
                Some(reached.iter().find(before).ok_or_else(|| {
                    Error::new(Kind::Refused, format!("restore point {name} cannot be reached"))
                        .because(format!("it lies at {}, and no base backup reaches that", mark.lsn))
                        .effect("nothing was changed")
                })?)
            }
            // The oldest comes before it, if any does.
            (Target::RestorePoint(_), RestorePoint::NotRead) => reached.last(),
            _ => reached.first(),
        };
        let doubt = chosen.or(self.first()).and_then(|on| self.undecided(on, seen));
        match (doubt, chosen) {
            (Some(doubt), _) => Err(doubt.error()),
            (None, Some(chosen)) => Ok(chosen),
            (None, None) => Err(self.unreachable()),
        }
    }

    fn warnings(
        &self,
        base: &Snapshot,
        facts: &BaseFacts,
        reach: Option<&Reach>,
        seen: &Seen,
    ) -> Vec<String> {
        let id = &base.manifest.id;
        let mut out = self.skipped.clone();
        if self.asked.own_command {
            out.push(
                "WAL comes from --restore-command: it is not known whether it reaches the target".into(),
            );
        }
        out.extend(self.wal.as_ref().and_then(|(wal, _)| wal.foreign.text()));
        out.extend(seen.notes.iter().cloned());
        if let (Some((wal, _)), Some(reach)) = (&self.wal, reach) {
            if self.asked.timeline.is_none() {
                out.extend(left_behind(wal, reach));
            }
            let end = reach.end;
            out.extend(
                reach
                    .gap_until
                    .map(|gap| format!("WAL from {end} to {gap} is missing: recovery stops at {end}")),
            );
            if reach.is_contradicted {
                out.push(format!(
                    "WAL at {end} is stored twice, with different content: recovery stops at {end}"
                ));
            }
        }
        out.extend(base.clock_note().map(|note| format!("base backup {id} was {note}")));
        if facts.bad_page_count > 0 {
            let count = facts.bad_page_count;
            out.push(format!("{count} pages were already bad when it was taken (lifeboat show {id})"));
        }
        let left_out = facts.left_out.iter();
        out.extend(left_out.map(|left| format!("missing in the base backup: {}: {}", left.what, left.why)));
        out
    }
}

fn no_base(inventory: &Inventory, asked: &PointAsked, skipped: &[String]) -> Error {
    let place = format!("in {} for instance {}", inventory.repository, inventory.instance);
    let error = match &asked.release {
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
    match skipped {
        [] => error,
        some => error.because(some.join("; ")),
    }
}

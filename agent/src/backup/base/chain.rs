//! Which base backups the next one builds on, or why it is a full one.

use crate::backup::base::context::Context;
use crate::catalog::known_base::{self, Begin, Clocks, KnownBase, KnownBaseReader};
use crate::names::SnapshotId;

/// The chain that a base backup ends.
pub struct Chain {
    /// Its files so far; none for a full backup.
    pub old: Option<KnownBaseReader>,
    /// The full backup first, this one last.
    pub ids: Vec<SnapshotId>,
    /// Why this is a full backup although a parent was expected.
    pub full_because: Option<String>,
}

impl Chain {
    /// The chain to build on.
    pub fn open(context: &Context, system_identifier: u64) -> Chain {
        match parent(context, &system_identifier.to_string()) {
            Ok(old) => {
                let ids = old.known.chain.iter().chain([context.snapshot.id()]).cloned().collect();
                Chain { old: Some(old), ids, full_because: None }
            }
            Err(why) => Chain::anew(context, why),
        }
    }

    /// A chain that begins here.
    pub fn anew(context: &Context, why: Option<String>) -> Chain {
        Chain { old: None, ids: vec![context.snapshot.id().clone()], full_because: why }
    }

    /// The first line of the next known base backup.
    pub fn known(
        &self,
        context: &Context,
        system_identifier: u64,
        begin: Begin,
        clocks: Option<Clocks>,
    ) -> KnownBase {
        KnownBase {
            known_base: known_base::VERSION,
            repository: context.job.repository.id().to_owned(),
            system_identifier: system_identifier.to_string(),
            chain: self.ids.clone(),
            begin: Some(begin),
            clocks,
        }
    }

    /// Place of this backup in the chain.
    pub fn own(&self) -> u32 {
        self.ids.len() as u32 - 1
    }
}

/// The record in the state directory; or why this is a full backup (`None`: the first one).
fn parent(context: &Context, system_identifier: &str) -> Result<KnownBaseReader, Option<String>> {
    if context.full {
        return Err(Some("a full backup was requested".to_owned()));
    }
    let reader = match known_base::open(&context.job.state.known_base_file()) {
        Ok(Some(reader)) => reader,
        Ok(None) => {
            let any = context.snapshots.iter().any(|id| id.as_str().contains("-base-"));
            return Err(
                any.then(|| "the state directory of this host has no record of the last base backup".into())
            );
        }
        Err(e) => return Err(Some(format!("{e:?}"))),
    };
    let known = &reader.known;
    if known.repository != context.job.repository.id() {
        return Err(Some(format!(
            "the record in the state directory is of another repository ({})",
            known.repository
        )));
    }
    if known.system_identifier != system_identifier {
        return Err(Some(format!(
            "the record in the state directory is of another cluster ({})",
            known.system_identifier
        )));
    }
    if let Some(gone) = known.chain.iter().find(|id| context.snapshots.binary_search(id).is_err()) {
        return Err(Some(format!(
            "snapshot {gone}, which an incremental backup would need, is no longer stored"
        )));
    }
    let repository = &context.job.repository;
    let found = context.job.state.verified(repository.instance(), repository.id());
    // Findings that cannot be read are found again by the next check.
    let broken = found.map(|found| found.broken).unwrap_or_default();
    if let Some(bad) = known.chain.iter().find(|id| broken.contains_key(*id)) {
        return Err(Some(format!(
            "lifeboat verify found that {bad}, which an incremental backup would need, is damaged"
        )));
    }
    if known.chain.len() as u32 >= context.job.backup.base_chain_max {
        let length = known.chain.len();
        return Err(Some(format!(
            "the chain has {length} snapshots, the most that backup.base_chain_max allows"
        )));
    }
    Ok(reader)
}

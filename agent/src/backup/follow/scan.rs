//! The scan: compares the names on disk with those that are held, folder by folder over all tenants. It finds
//! what was written before the watch began, where there is no watch, and what the kernel did not report.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::tree::{Name, Survey, Tree};
use super::waiting::FILES_MAX;
use crate::backup::job::on_blocking_thread;
use crate::catalog::held::{Held, holds};
use crate::clock::{self, Timestamp};
use crate::disk::watch::Adder;
use crate::error::Result;

/// What a scan found.
pub struct Scan {
    /// When it began: it saw every file that existed then.
    pub begun: Timestamp,
    /// Tenants, watches, and what could not be read.
    pub survey: Survey,
    /// Files that are not held.
    pub missing: Vec<Name>,
    /// Whether there are more of them.
    pub more: bool,
}

/// Scans. Memory: the names of one folder of all tenants, and of what is missing.
///
/// # Errors
/// Where it is not known which files are held.
pub async fn scan(held: &mut Held, tree: &Arc<Tree>, adder: &Adder) -> Result<Scan> {
    let begun = clock::now();
    let (shared, adder) = (tree.clone(), adder.clone());
    let survey = on_blocking_thread(move || Ok(shared.survey(&adder))).await?;
    let mut scan = Scan { begun, survey, missing: Vec::new(), more: false };
    let shards: BTreeSet<String> = scan.survey.tenants.values().flatten().cloned().collect();
    for shard in shards {
        if scan.missing.len() >= FILES_MAX {
            scan.more = true;
            break;
        }
        let having = scan.survey.tenants.iter().filter(|(_, shards)| shards.contains(&shard));
        let having: Vec<_> = having.map(|(tenant, _)| tenant.clone()).collect();
        let (shared, of) = (tree.clone(), shard.clone());
        let listed = on_blocking_thread(move || {
            Ok(having.iter().map(|tenant| shared.files(tenant, &of)).collect::<Vec<_>>())
        });
        let known = held.of_shard(&shard).await?;
        for files in listed.await? {
            match files {
                Ok(files) => scan
                    .missing
                    .extend(files.into_iter().filter(|name| !holds(&known, &name.tenant, &name.path))),
                Err(e) => scan.survey.problems.push(e),
            }
        }
    }
    Ok(scan)
}

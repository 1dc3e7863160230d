//! Binds a plan to this host: reads the index, checks the directories, and decides the server's
//! configuration. It changes nothing, and does not change the planned source of the restore.

use std::collections::HashMap;
use std::sync::Arc;

use crate::archive::base::{BaseFacts, ClusterLayout};
use crate::archive::manifest::Origin;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Result};
use crate::inventory::needs::fetch;
use crate::inventory::target::{Action, Target};
use crate::names::wal::SegmentBytes;
use crate::recovery::instance::aside::CONF_FILE;
use crate::recovery::instance::choose::{Chosen, choose};
use crate::recovery::instance::conf::Conf;
use crate::recovery::instance::delta::Replaced;
use crate::recovery::instance::feed::Feed;
use crate::recovery::instance::lists::read_lists;
use crate::recovery::instance::packs::pack_reads;
use crate::recovery::instance::place::{Places, place};
use crate::recovery::instance::plan::{InstancePlan, Prepared, check_space};
use crate::recovery::instance::settings::{self, Recovery};
use crate::recovery::instance::sorting::{self, Host};
use crate::recovery::instance::stored::wal_reader;
use crate::recovery::instance::switched_off::switched_off;
use crate::recovery::instance::takeover::takeover;
use crate::recovery::instance::wanted::Wanted;
use crate::recovery::instance::{InstanceRequest, account, newer_tablespaces, peek, readable};
use crate::recovery::timing::{Way, Work};
use crate::repository::Repository;

/// Plans from what is stored, and binds the plan to this host.
pub async fn prepare(config: &Config, request: InstanceRequest) -> Result<Prepared> {
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let chosen = choose(&repository, &origin, &request).await?;
    bind(config, (repository, &origin), chosen, request).await
}

/// Reads the index (so a wrong identity is noticed now) and checks the directories. The source of the
/// restore stays as planned.
async fn bind(
    config: &Config,
    (repository, origin): (Repository, &Origin),
    Chosen { plan: mut source, base, target }: Chosen,
    request: InstanceRequest,
) -> Result<Prepared> {
    let facts = base.base_facts()?.clone();
    if source.target != Target::Immediate {
        newer_tablespaces::refuse(config, &facts).await?;
    }
    let mut manifests = HashMap::new();
    fetch(&repository, origin, &request.trust, &base, &mut manifests).await?;
    let identities = Arc::new(request.identities.clone());
    let (mut wanted, layout) = read_lists(&repository, &base, &identities).await?;
    let maintenance = &config.postgres.maintenance_database;
    let narrowed = request.only.as_ref().map(|only| only.narrow(&mut wanted, &layout, maintenance));
    let fetches = request.restore_command.is_none();
    let restore_command = match (&request.restore_command, &narrowed) {
        (Some(command), _) => command.clone(),
        (None, Some(_)) => Feed::command(&request.data_dir, None)?,
        (None, None) => {
            settings::restore_command(config, &request.identity_files, request.accepts_unsigned())?
        }
    };
    let feed = (fetches && request.starts)
        .then(|| {
            Ok::<_, Error>(Feed {
                reader: wal_reader(&repository, origin, &request),
                segment_bytes: SegmentBytes::try_from(facts.wal_segment_bytes)?,
                batch: config.wal.batch,
                workers: config.wal.workers,
                afterwards: narrowed.is_none().then(|| restore_command.clone()),
            })
        })
        .transpose()?;
    let conf = match narrowed {
        None => peek::production(&repository, &wanted, &manifests, &identities).await?,
        Some(_) => Conf::default(), // a scratch cluster's configuration is never reported
    };
    let recovery = Recovery {
        target,
        action: request.action,
        timeline: source.reach.as_ref().map(|reach| reach.timeline),
        restore_command: restore_command.clone(),
        archiving: request.keep_archiving.then(|| settings::archiving(&conf)),
        preload: request.preload.clone(),
        kept: settings::kept(&conf),
        scratch: narrowed.is_some(),
        in_place: has_in_place(&layout, &facts),
    };
    let Places { data_dir, replaced, goes_on, tablespaces } =
        place(&request, &base, &recovery.lines(), narrowed.is_some())?;
    let owner = account::owner(&data_dir, request.os_user.as_deref())?;
    // If we start it, we fetch WAL for it until it has reached its target.
    let fetches_later = !request.starts || request.action == Action::Pause;
    if let Some(owner) = owner.filter(|_| fetches && fetches_later) {
        let out_of_reach = readable::out_of_reach(config, &request.identity_files, owner)?;
        if !out_of_reach.is_empty() {
            source.warnings.push(readable::sentence(owner, request.starts, &out_of_reach));
        }
    }
    let takeover = match request.as_production {
        true => Some(takeover(&conf, &data_dir, false)?),
        false => None,
    };
    let fetch_bytes = pack_reads(&wanted, wanted.files().iter(), &manifests)?.iter().map(|p| p.bytes).sum();
    let warnings = &mut source.warnings;
    if narrowed.is_none() {
        warnings.extend(copy_warnings(&wanted, replaced.as_ref()));
    }
    if request.keep_archiving {
        warnings.push(
            "--keep-archiving: its WAL is archived as production's is. Never use it beside production".into(),
        );
    }
    if recovery.target == Target::Latest && request.action != Action::Promote {
        warnings.push(format!(
            "--target-action {} has no effect without a target before the end of the WAL: there the server \
            accepts writes",
            request.action.as_str()
        ));
    }
    let plan = InstancePlan {
        stops_at: recovery.target.clone(),
        free_bytes: disk::free_bytes(&data_dir)?,
        data_dir,
        replaced,
        goes_on,
        tablespaces,
        owner: owner.map(|owner| (owner.uid, owner.gid)),
        files: wanted.files().len() as u64,
        bytes: wanted.bytes,
        fetch_bytes,
        estimate: Work {
            base_bytes: wanted.bytes,
            files: wanted.files().len() as u64,
            wal_bytes: if request.starts { source.wal_bytes } else { 0 },
            ..Work::of(Way::Instance, None)
        }
        .estimate(config),
        restore_command,
        is_fed: feed.is_some(),
        archives: request.keep_archiving,
        preload: request.preload,
        is_scratch: narrowed.is_some(),
        switched_off: switched_off(&conf),
        takeover,
        sorts_otherwise: match narrowed {
            None => sorting::differs(&facts, &layout, &Host::ask()),
            Some(_) => Vec::new(), // it is only dumped, then removed
        },
        databases: layout.databases.clone(),
        source,
    };
    check_space(&plan, narrowed.is_some())?;
    let workers = config.restore.workers;
    Ok(Prepared {
        plan,
        repository,
        manifests,
        identities,
        wanted,
        layout,
        narrowed,
        recovery,
        workers,
        bin_dir: config.postgres.bin_dir.clone(),
        owner,
        feed,
    })
}

/// Whether there are in-place tablespaces: directories in `pg_tblspc` instead of links.
fn has_in_place(layout: &ClusterLayout, facts: &BaseFacts) -> bool {
    let oids =
        layout.directories.iter().filter_map(|d| d.path.strip_prefix("pg_tblspc/")?.parse::<u32>().ok());
    oids.into_iter().any(|oid| facts.tablespaces.iter().all(|known| known.oid != oid))
}

/// Warnings about a copy that stays.
fn copy_warnings(wanted: &Wanted, replaced: Option<&Replaced>) -> Vec<String> {
    let mut out = Vec::new();
    if wanted.find(CONF_FILE).is_none() {
        out.push(
            "production's configuration is outside the data directory and not in the backup: install \
            it from your configuration management before this server takes over"
                .into(),
        );
    }
    if let Some(to) = replaced.and_then(|replaced| replaced.wal_elsewhere.as_ref()) {
        out.push(format!("pg_wal was a link to {}: it will be a directory", to.display()));
    }
    out.push("nothing is neutralized: as soon as an Odoo opens its databases, mail, scheduled jobs, payments and deliveries are live".into());
    out
}

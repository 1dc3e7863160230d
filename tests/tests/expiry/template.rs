//! A repository with nine days of backups, made once: each history works on a copy of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Tenant, small_tenant};

/// Days ago of each dump with its filestore; those of base backups are among them.
const DUMPS: [u64; 8] = [9, 7, 6, 5, 4, 3, 1, 0];
const BASES: [u64; 3] = [9, 5, 1];

pub struct Template {
    pub cluster: Cluster,
    pub site: Site,
    pub tenant: Tenant,
}

impl Template {
    pub fn make() -> Template {
        let cluster = Cluster::start_default();
        cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
        cluster.psql("postgres", "select pg_reload_conf()");
        let site = Site::local(&cluster);
        let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 3);
        let (mut dated, mut pushed) = (BTreeSet::new(), BTreeSet::new());
        for days in DUMPS {
            let ago = format!("-{days}d");
            if days % 2 == 1 {
                tenant.upload(&cluster, &format!("{days}.pdf"), format!("of {days} days ago").as_bytes());
            }
            if BASES.contains(&days) {
                site.backup(&["--kind", "base"]).off_by(&ago).run().ok();
            }
            site.backup(&["--tenant", "shop"]).off_by(&ago).run().ok();
            push_wal(&cluster, &site, &mut pushed);
            // By the store's clock, too.
            let then = SystemTime::now() - Duration::from_secs(days * 86_400);
            walk(&site.stored, &mut |path| {
                if path.is_file() && dated.insert(path.to_owned()) {
                    set_time(path, then);
                }
            });
        }
        Template { cluster, site, tenant }
    }
}

pub fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Stores every full segment that was not stored yet.
fn push_wal(cluster: &Cluster, site: &Site, pushed: &mut BTreeSet<PathBuf>) {
    for path in segments_to_store(cluster, pushed) {
        site.run(&["wal", "push"]).arg(path).run().ok();
    }
}

/// Every full segment that was not `pushed` yet; the current one is ended.
pub fn segments_to_store(cluster: &Cluster, pushed: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
    cluster.psql("postgres", "create table if not exists filled (n int)");
    cluster.psql("postgres", "insert into filled select generate_series(1, 100)");
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    let last = cluster.data_dir().join("pg_wal").join(name.trim());
    let mut files = Vec::new();
    walk(&cluster.data_dir().join("pg_wal"), &mut |path| files.push(path.to_owned()));
    let is_full = |path: &&PathBuf| **path <= last && path.as_os_str().len() == last.as_os_str().len();
    files.iter().filter(is_full).filter(|path| pushed.insert((*path).clone())).cloned().collect()
}

//! Progress ends at exactly what was expected: not short of it, and never past it.

use std::fs;

use lifeboat::archive::seal::Identities;
use lifeboat::config::{Config, Inputs};
use lifeboat::progress::Progress;
use lifeboat::repository::Repository;
use lifeboat::repository::snapshots::Trust;
use lifeboat::upkeep::tombstones::KeptFor;
use lifeboat::upkeep::verify::{self, VerifyRequest};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

#[test]
fn a_check_counts_what_it_expects_and_no_more() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 2);
    // A file in several parts, and WAL behind a base backup.
    tenant.upload(&cluster, "large", &vec![7; 11 << 20]);
    site.back_up(&[]);
    site.back_up(&["--kind", "base"]);
    let name = cluster.switch_wal();
    let copy = site.path(&name);
    fs::copy(cluster.data_dir().join("pg_wal").join(&name), &copy).unwrap();
    site.run(&["wal", "push"]).arg(&copy).run().ok();
    let config = Config::load(&Inputs { config: Some(site.config()), ..Inputs::default() }).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for deep in [false, true] {
        let identity = site.path("lifeboat-identity.txt");
        let request = VerifyRequest {
            announcers: Default::default(),
            doubted: Default::default(),
            kept: KeptFor {
                classes: Default::default(),
                grace: Default::default(),
                drills: Default::default(),
            },
            quick: false,
            known: Default::default(),
            snapshots: Vec::new(),
            tenant: None,
            sample_percent: None,
            bytes_per_second_max: None,
            identities: deep.then(|| Identities::load(&[identity], &|_| None).unwrap()),
            workers: 2,
            trust: Trust::keys(&config.signing.trusted_keys).unwrap(),
            sealed_for: None,
            evidence_keys: None,
        };
        let progress = Progress::new("verify", None);
        let report = runtime.block_on(async {
            let repository = Repository::configured(&config).await.unwrap();
            verify::run(repository, request, progress.clone(), Default::default()).await.unwrap()
        });
        report.verdict().unwrap();
        let seen = progress.snapshot();
        assert_eq!(Some(seen.bytes), seen.bytes_total, "deep: {deep}");
    }
}

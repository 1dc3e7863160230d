//! Years of snapshots and WAL of an instance, made in a moment: manifests and names are signed as ours are,
//! so everything is believed; each other object is one byte, which only `verify` would read.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lifeboat::archive::base::BaseFacts;
use lifeboat::archive::digest::Sha256;
use lifeboat::archive::manifest::{
    DumpFacts, FORMAT, Facts, FilestoreFacts, FilestoreLink, Manifest, Object, Origin,
};
use lifeboat::archive::signature::SigningKey;
use lifeboat::archive::wal_name::{HalfDigest, WalName};
use lifeboat::clock::Timestamp;
use lifeboat::names::wal::{SegmentBytes, SegmentName, TimelineId, WalFile};
use lifeboat::names::{InstanceName, Lsn, SnapshotId, TenantName};
use lifeboat::repository::Repository;
use lifeboat::store::{Store, StoreOptions};

use crate::site::Site;
use crate::{S3, Versioned};

const DAY: u64 = 86_400;
/// How old the newest backup is.
const NEWEST: u64 = 3_600;
/// As by default: after so many a filestore's list is complete again.
const FILESTORE_CHAIN: u64 = 24;
/// A full base backup a week.
const BASE_CHAIN: u64 = 7;
/// The content of what nobody reads.
const TINY: &[u8] = b"x";

/// What an instance has: of each day a base backup, and of each tenant a dump and a filestore.
#[derive(Clone, Copy, Debug)]
pub struct LongHistory {
    /// Tenants, called `tenant_0` and so on.
    pub tenants: u64,
    /// Days, the last one today.
    pub days: u64,
    /// Segments of WAL, in all these days.
    pub segments: u64,
}

impl LongHistory {
    /// How many snapshots that are.
    pub fn snapshots(&self) -> u64 {
        self.days * (1 + 2 * self.tenants)
    }

    /// This configuration with these tenants, and one class of them with these settings.
    pub fn configured(&self, configuration: &str, class: &str) -> String {
        let tenants: Vec<String> = (0..self.tenants).map(|n| format!("\"tenant_{n}\"")).collect();
        let tenants = format!("\n[odoo]\ntenants = [{}]", tenants.join(", "));
        let text = configuration.replacen("\n[odoo]", &tenants, 1);
        format!("{text}\n[class.all]\ntenants = ['*']\n{class}\n")
    }

    /// Makes it in the repository of this site, below `prefix` of the bucket.
    ///
    /// # Panics
    /// Where the bucket cannot be reached.
    pub fn make(&self, site: &Site, s3: &S3, bucket: &Versioned, prefix: &str, instance: &str) {
        let origin = bind(site, s3, prefix, instance);
        let signing = SigningKey::load(&site.path("lifeboat-signing-key")).unwrap();
        let place = format!("{prefix}/instances/{instance}");
        let maker = Maker { history: *self, origin, signing, bucket, place, now: SystemTime::now() };
        let mut bases: Vec<SnapshotId> = Vec::new();
        let mut filestores: Vec<Vec<SnapshotId>> = vec![Vec::new(); self.tenants as usize];
        for day in 0..self.days {
            if day % BASE_CHAIN == 0 {
                bases.clear();
            }
            bases.push(maker.id(day, "base", 0));
            maker.snapshot(day, None, maker.base(day, &bases), &bases[bases.len() - 1]);
            for (n, known) in filestores.iter_mut().enumerate() {
                let tenant: TenantName = format!("tenant_{n}").parse().unwrap();
                known.push(maker.id(day, "filestore", n));
                let newest = known[known.len() - 1].clone();
                maker.snapshot(day, Some(&tenant), filestore(known), &newest);
                maker.snapshot(day, Some(&tenant), dump(&newest), &maker.id(day, "dump", n));
            }
        }
        maker.wal();
    }
}

/// The first backup's step: whose name that is.
fn bind(site: &Site, s3: &S3, prefix: &str, instance: &str) -> Origin {
    let options = StoreOptions {
        endpoint: Some(s3.endpoint()),
        allow_http: true,
        credentials_file: Some(site.path("s3-keys")),
        ..StoreOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let instance: InstanceName = instance.parse().unwrap();
    runtime.block_on(async {
        let store = Store::open(&s3.url(prefix), &options).unwrap();
        Repository::open(store, instance).await.unwrap().bind(Some("7312233445566778899")).await.unwrap()
    })
}

struct Maker<'a> {
    history: LongHistory,
    origin: Origin,
    signing: SigningKey,
    bucket: &'a Versioned,
    /// Where the instance is in the bucket.
    place: String,
    now: SystemTime,
}

impl Maker<'_> {
    fn age(&self, day: u64) -> Duration {
        Duration::from_secs((self.history.days - 1 - day) * DAY + NEWEST)
    }

    fn at(&self, day: u64) -> Timestamp {
        Timestamp::try_from(self.now - self.age(day)).unwrap()
    }

    fn id(&self, day: u64, kind: &str, tenant: usize) -> SnapshotId {
        format!("{}-{kind}-{tenant:08x}", self.at(day).strftime("%Y%m%dT%H%M%SZ")).parse().unwrap()
    }

    /// Where the WAL of a day begins.
    fn lsn(&self, day: u64) -> Lsn {
        let segment = 1 + day * self.history.segments / self.history.days;
        Lsn(segment * SegmentBytes::USUAL.get() + 40)
    }

    fn base(&self, day: u64, chain: &[SnapshotId]) -> Facts {
        let start_lsn = self.lsn(day);
        Facts::Base(BaseFacts {
            system_identifier: "7312233445566778899".to_owned(),
            server_version: "15.10 (Debian 15.10-0+deb12u1)".to_owned(),
            server_major: 15,
            timeline: 1,
            start_lsn,
            checkpoint_lsn: Lsn(start_lsn.0 + 56),
            stop_lsn: Lsn(start_lsn.0 + 260),
            wal_segment_bytes: SegmentBytes::USUAL.get(),
            from_standby: false,
            data_checksums: true,
            tablespaces: Vec::new(),
            chain: chain.to_vec(),
            full_because: None,
            files: 2_000,
            bytes: 3_000_000_000,
            unread_bytes: 0,
            bad_page_count: 0,
            bad_pages: Vec::new(),
            left_out: Vec::new(),
            made_on: None,
        })
    }

    /// Stores a snapshot: its objects, its signature, its manifest.
    fn snapshot(&self, day: u64, tenant: Option<&TenantName>, facts: Facts, id: &SnapshotId) {
        let names: &[&str] = match &facts {
            Facts::Dump(_) => &["baseline.zst.age", "packs/000000.tar.zst.age"],
            Facts::Base(_) => &["cluster.zst.age", "index.zst.age", "packs/000000.tar.zst.age"],
            _ => &["index.zst.age", "packs/000000.tar.zst.age"],
        };
        let object = |name: &&str| Object {
            name: (*name).to_owned(),
            bytes: TINY.len() as u64,
            sha256: Sha256::of(TINY),
            frames: if name.starts_with("packs/") { vec![0] } else { Vec::new() },
        };
        let at = self.at(day);
        let manifest = Manifest {
            format: FORMAT,
            origin: self.origin.clone(),
            id: id.clone(),
            tenant: tenant.cloned(),
            release: None,
            begun: at,
            point: at,
            ended: at,
            lsn: (!matches!(facts, Facts::Filestore(_))).then(|| self.lsn(day)),
            parent: None,
            recipients: vec!["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()],
            plain_bytes: 1_000_000,
            objects: names.iter().map(object).collect(),
            facts,
            written_by: "lifeboat 0.1.0".to_owned(),
        };
        let bytes = manifest.to_bytes().unwrap();
        let signature = self.signing.sign(&bytes).unwrap();
        let write = |name: &str, data: Bytes| {
            self.bucket.write_before(&format!("{}/snapshots/{id}/{name}", self.place), data, self.age(day));
        };
        names.iter().for_each(|name| write(name, Bytes::from_static(TINY)));
        write("manifest.json.sig", signature.into());
        write("manifest.json", bytes.into());
    }

    /// Stores all segments, each whole, the last one now.
    fn wal(&self) {
        let plain = HalfDigest::of(TINY);
        let mut segment: SegmentName = "000000010000000000000001".parse().unwrap();
        for number in 0..self.history.segments {
            let unsigned = WalName {
                file: WalFile::Segment(segment),
                begin: 0,
                end: SegmentBytes::USUAL.get() as u32,
                plain,
                stored: plain,
                signature: None,
            };
            let name = unsigned.sign(&self.origin, &self.signing).unwrap();
            let left = self.history.segments - 1 - number;
            let age = Duration::from_secs(left * self.history.days * DAY / self.history.segments);
            let TimelineId(timeline) = segment.timeline;
            let key = format!("{}/wal/{timeline:08X}/{name}", self.place);
            self.bucket.write_before(&key, Bytes::from_static(TINY), age);
            segment = segment.next(SegmentBytes::USUAL).unwrap();
        }
    }
}

/// A filestore that adds files to all those before it, each of which holds some that are still needed.
fn filestore(known: &[SnapshotId]) -> Facts {
    let chain = (known.len() as u64 - 1) % FILESTORE_CHAIN + 1;
    let index_chain = known[known.len() - chain as usize..].to_vec();
    Facts::Filestore(FilestoreFacts {
        complete: chain == 1,
        index_chain,
        sources: known.to_vec(),
        files: 20_000,
        bytes: 1_200_000_000,
        new_files: 50,
        full_because: None,
        problems: Vec::new(),
        problem_files: 0,
    })
}

fn dump(filestore: &SnapshotId) -> Facts {
    Facts::Dump(DumpFacts {
        server_major: 15,
        pg_dump: "pg_dump (PostgreSQL) 15.10".to_owned(),
        odoo_version: Some("17.0".to_owned()),
        bytes: 100_000_000,
        sha256: Sha256::of(TINY),
        read_back: true,
        database_bytes: 200_000_000,
        owner: "odoo".to_owned(),
        warnings: Vec::new(),
        cold: None,
        filestore: Some(FilestoreLink {
            snapshot: filestore.clone(),
            referenced: 20_000,
            missing_files: 0,
            missing: Vec::new(),
            elsewhere: Vec::new(),
            fence: "held".to_owned(),
        }),
    })
}

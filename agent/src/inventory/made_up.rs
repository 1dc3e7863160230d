//! Made-up snapshots, for the tests of what follows from an inventory.

use crate::archive::base::BaseFacts;
use crate::archive::digest::Sha256;
use crate::archive::manifest::{
    ArrivalFacts, DumpFacts, FORMAT, Facts, FilestoreFacts, FilestoreLink, Manifest, Origin, SnapshotKind,
};
use crate::clock::Timestamp;
use crate::inventory::reach::StoredWal;
use crate::inventory::{Inventory, Look, Part, Snapshot};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId};
use crate::repository::wal::coverage::{LsnRange, TimelineWindows};

/// Size of a segment.
pub const SEGMENT: u64 = 16 << 20;
const BEGIN: i64 = 1_795_000_000;

/// A moment, so many hours after the beginning.
pub fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + hour * 3_600).unwrap()
}

/// The ID of a short name such as `d1`; what it begins with is its kind.
pub fn id(name: &str) -> SnapshotId {
    let kind = match &name[..1] {
        "f" => "filestore",
        "b" => "base",
        _ => "dump",
    };
    let digest: String = name.bytes().map(|b| format!("{b:02x}")).collect();
    format!("20261120T000000Z-{kind}-{digest:0<8.8}").parse().unwrap()
}

fn manifest(name: &str, facts: Facts, hour: i64) -> Manifest {
    let digest = Sha256::of(b"meta");
    Manifest {
        format: FORMAT,
        origin: Origin {
            repository: "r".into(),
            repository_sha256: digest,
            instance: "prod".parse().unwrap(),
            instance_sha256: digest,
        },
        id: id(name),
        tenant: None,
        release: None,
        begun: at(hour),
        point: at(hour),
        ended: at(hour),
        lsn: None,
        parent: None,
        recipients: Vec::new(),
        plain_bytes: 0,
        objects: Vec::new(),
        facts,
        written_by: "test".into(),
    }
}

/// A dump at this hour and position.
pub fn dump(name: &str, tenant: &str, hour: i64, lsn: u64, filestore: Option<&str>) -> Manifest {
    let link = |name| FilestoreLink {
        snapshot: id(name),
        referenced: 0,
        missing_files: 0,
        missing: Vec::new(),
        elsewhere: Vec::new(),
        fence: String::new(),
    };
    let facts = DumpFacts {
        server_major: 15,
        pg_dump: String::new(),
        odoo_version: None,
        bytes: 0,
        sha256: Sha256::of(b""),
        read_back: true,
        database_bytes: 0,
        owner: "odoo".into(),
        warnings: Vec::new(),
        filestore: filestore.map(link),
        cold: None,
    };
    let lsn = Some(Lsn(lsn * SEGMENT));
    Manifest { tenant: Some(tenant.parse().unwrap()), lsn, ..manifest(name, Facts::Dump(facts), hour) }
}

/// A filestore.
pub fn filestore(name: &str, tenant: &str, index_chain: &[&str], sources: &[&str]) -> Manifest {
    let ids = |names: &[&str]| names.iter().map(|name| id(name)).collect();
    let facts = FilestoreFacts {
        complete: index_chain.len() == 1,
        index_chain: ids(index_chain),
        sources: ids(sources),
        files: 0,
        bytes: 0,
        new_files: 0,
        full_because: None,
        problems: Vec::new(),
        problem_files: 0,
    };
    let tenant = Some(tenant.parse().unwrap());
    Manifest { tenant, ..manifest(name, Facts::Filestore(facts), 0) }
}

/// A base backup that stopped at this hour, in the middle of this segment.
pub fn base(name: &str, timeline: u32, segment: u64, chain: &[&str]) -> Manifest {
    let stop_lsn = Lsn(segment * SEGMENT + 300);
    let facts = BaseFacts {
        timeline,
        start_lsn: Lsn(segment * SEGMENT + 40),
        checkpoint_lsn: Lsn(segment * SEGMENT + 96),
        stop_lsn,
        chain: chain.iter().map(|name| id(name)).collect(),
        ..crate::inventory::reach::tests::facts()
    };
    Manifest { lsn: Some(stop_lsn), ..manifest(name, Facts::Base(facts), segment as i64) }
}

/// Stored at this hour by the store's clock.
pub fn stored(manifest: Manifest, hour: i64) -> Snapshot {
    Snapshot::new(manifest, at(hour))
}

/// An inventory of these.
pub fn inventory(snapshots: impl IntoIterator<Item = Snapshot>) -> Inventory {
    let look = |one: Snapshot| (one.manifest.id.clone(), Look::Believed(Box::new(one)));
    let mut snapshots: Vec<_> = snapshots.into_iter().map(look).collect();
    snapshots.sort_by(|(a, _), (b, _)| a.cmp(b));
    Inventory {
        instance: "prod".parse().unwrap(),
        repository: "memory:".into(),
        snapshots,
        wal: Part::NotAsked,
    }
}

/// WAL of timeline 1 in these segments, each stored in the hour of its number.
pub fn wal(ranges: &[(u64, u64)]) -> StoredWal {
    let range = |(begin, end): &(u64, u64)| LsnRange { begin: Lsn(begin * SEGMENT), end: Lsn(end * SEGMENT) };
    let ranges: Vec<LsnRange> = ranges.iter().map(range).collect();
    let stored = |range: &LsnRange| (TimelineId(1), range.end, at((range.end.0 / SEGMENT) as i64));
    StoredWal {
        stored: ranges.iter().map(stored).collect(),
        windows: vec![TimelineWindows {
            timeline: TimelineId(1),
            ranges,
            gaps: Vec::new(),
            conflicts: Vec::new(),
        }],
        ..StoredWal::default()
    }
}

#[test]
fn exactly_the_facts_of_the_kind_are_stored_and_read() {
    let all = [
        dump("d1", "retail", 1, 1, None),
        filestore("f1", "retail", &["f1"], &["f1"]),
        base("b1", 1, 1, &["b1"]),
        Manifest { facts: Facts::Globals, ..dump("d1", "retail", 1, 1, None) },
        Manifest {
            facts: Facts::Arrivals(ArrivalFacts { files: 1, bytes: 1 }),
            ..dump("d1", "retail", 1, 1, None)
        },
    ];
    let parse = |of: &Manifest, value: &serde_json::Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        Manifest::parse(&of.id, &of.origin.instance, &bytes)
    };
    let with_facts = ["dump", "filestore", "base", "arrivals"];
    for manifest in &all {
        let value = serde_json::to_value(manifest).unwrap();
        let names: Vec<&str> = with_facts.into_iter().filter(|name| value.get(name).is_some()).collect();
        let own = manifest.kind().as_str();
        let expected = if manifest.kind() == SnapshotKind::Globals { vec![] } else { vec![own] };
        assert_eq!((value["kind"].as_str(), names), (Some(own), expected));
        assert_eq!(parse(manifest, &value).unwrap(), *manifest);
        // One more, or none: of what it is would not be clear.
        for other in all.iter().filter(|other| other.kind() != manifest.kind()) {
            let kind = other.kind().as_str();
            let (mut two, mut none) = (value.clone(), value.clone());
            none["kind"] = kind.into();
            assert!(
                parse(manifest, &none)
                    .unwrap_err()
                    .what()
                    .ends_with("does not have exactly the facts of its kind")
            );
            let Some(facts) = serde_json::to_value(other).unwrap().get(kind).cloned() else { continue };
            two[kind] = facts;
            assert!(
                parse(manifest, &two)
                    .unwrap_err()
                    .what()
                    .ends_with("does not have exactly the facts of its kind")
            );
        }
    }
}

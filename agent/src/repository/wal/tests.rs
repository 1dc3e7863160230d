//! WAL over a store: what is listed, stored, refused and read back.

use std::collections::BTreeSet;
use std::sync::Arc;

use age::secrecy::ExposeSecret;

use super::coverage::{LsnRange, assemble, segment_bytes, windows};
use super::*;
use crate::archive::digest::Sha256;
use crate::archive::seal::{Identities, Recipients};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::wal::{CONTENT_BYTES_MAX, HalfDigest, WalOpener, WalSealer};
use crate::archive::wal_history::Ancestor;
use crate::error::Kind;
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::repository::snapshots::Trust;
use crate::store::{Store, StoreOptions};

pub(super) struct Place {
    pub(super) writer: WalWriter,
    pub(super) reader: WalReader,
    pub(super) identities: Identities,
    _dir: tempfile::TempDir,
}

pub(super) async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    crate::disk::create_private_dir(&dir.path().join("repo")).unwrap();
    let store = Store::open(dir.path().join("repo").to_str().unwrap(), &StoreOptions::default()).unwrap();
    Repository::init(&store).await.unwrap();
    let repository = Repository::open(store, "prod".parse().unwrap()).await.unwrap();
    let origin = repository.bind(Some("7000")).await.unwrap();
    let key = age::x25519::Identity::generate();
    let identity = dir.path().join("id");
    crate::disk::write_new_durable(&identity, key.to_string().expose_secret().as_bytes()).unwrap();
    let signing = SigningKey::generate("test").unwrap();
    let identities = Identities::load(&[identity], &|_| None).unwrap();
    let opener = WalOpener {
        origin: origin.clone(),
        identities: identities.clone(),
        trusted: Some(TrustedKeys::parse([signing.public_text().unwrap().as_str()]).unwrap()),
    };
    let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
    let sealer = WalSealer { origin, recipients, signing, zstd_level: 1 };
    let writer = WalWriter::new(repository.clone(), sealer, TrustedKeys::default());
    Place { writer, reader: WalReader::new(repository, opener), identities, _dir: dir }
}

pub(super) fn file(name: &str) -> WalFile {
    name.parse().unwrap()
}

pub(super) const FIRST: &str = "000000010000000000000001";

#[tokio::test]
async fn the_same_bytes_are_stored_once_and_others_are_refused() {
    let Place { writer, reader, _dir, .. } = place().await;
    let content = bytes::Bytes::from(vec![5; 1 << 20]);
    writer.put_range(file(FIRST), 0, content.slice(..8192)).await.unwrap();
    writer.put_range(file(FIRST), 8192, content.slice(8192..9000)).await.unwrap();
    assert_eq!(writer.put_file(file(FIRST), Arc::new(content.clone())).await.unwrap(), Put::Stored);
    assert_eq!(writer.put_file(file(FIRST), Arc::new(content.clone())).await.unwrap(), Put::WasThere);
    let names = reader.names(file(FIRST)).await.unwrap();
    assert_eq!(names.len(), 3);
    for at in [0, 8500, (1 << 20) - 1] {
        let mut other = content.to_vec();
        other[at] = 6;
        let error = writer.put_file(file(FIRST), Arc::new(bytes::Bytes::from(other))).await.unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists, "{at}");
    }
    let error = writer.put_file(file(FIRST), Arc::new(content.slice(..8192))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists, "shorter than what is stored");
    assert_eq!(reader.get(names[1]).await.unwrap(), content);
    assert_eq!(assemble(&names), [names[1]]);
}

#[tokio::test]
async fn a_long_segment_is_several_objects_and_what_is_missing_of_it_is_stored_later() {
    let Place { writer, reader, _dir, .. } = place().await;
    let content: Vec<u8> = (0..(40u32 << 20)).map(|n| (n >> 13) as u8).collect();
    let content = bytes::Bytes::from(content);
    let second = CONTENT_BYTES_MAX..2 * CONTENT_BYTES_MAX;
    writer.put_range(file(FIRST), second.start as u32, content.slice(second)).await.unwrap();
    assert_eq!(writer.put_file(file(FIRST), Arc::new(content.clone())).await.unwrap(), Put::Stored);
    let chosen = assemble(&reader.names(file(FIRST)).await.unwrap());
    assert_eq!(chosen.len(), 3);
    let mut read = Vec::new();
    for name in chosen {
        read.extend(reader.get(name).await.unwrap());
    }
    assert_eq!(read, content);
}

#[tokio::test]
async fn listings_know_each_kind_of_file_and_what_is_foreign() {
    let Place { writer, reader, _dir, .. } = place().await;
    let repository = reader.repository();
    assert!(reader.list().await.unwrap().objects.is_empty());
    let files = [
        FIRST,
        "000000010000000000000001.00000028.backup",
        "000000010000000000000002.partial",
        "000000020000000000000001",
        "00000002.history",
    ];
    for name in files {
        writer.put_file(file(name), Arc::new(bytes::Bytes::from_static(b"content"))).await.unwrap();
    }
    let stray = format!("instances/prod/wal/00000001/{FIRST}/stray");
    repository.store().put_new(&stray, &b"x"[..]).await.unwrap();
    let list = reader.list().await.unwrap();
    let found: Vec<String> = list.objects.iter().map(|o| o.name.file.to_string()).collect();
    let mut expected = files;
    expected.sort_by_key(|name| file(name));
    assert_eq!(found, expected);
    assert_eq!(list.foreign.first, [(stray, "it is not a WAL object".into())]);
    assert_eq!(
        reader.histories(&BTreeSet::new()).await.unwrap().texts,
        [(TimelineId(2), "content".to_owned())]
    );
}

#[tokio::test]
async fn where_a_timeline_came_from_is_told_without_an_identity() {
    let Place { writer, reader, _dir, .. } = place().await;
    let (repository, origin) = (reader.repository(), reader.repository().origin().await.unwrap());
    let text = bytes::Bytes::from_static(b"1\t0/3000110\tno recovery target specified\n");
    for _ in 0..2 {
        writer.put_file(file("00000002.history"), Arc::new(text.clone())).await.unwrap();
    }
    writer.put_file(file("00000003.history"), Arc::new(bytes::Bytes::from_static(b"none"))).await.unwrap();
    let list = reader.list().await.unwrap();
    assert_eq!((list.lineages.len(), list.foreign.count()), (1, 0), "{list:?}");
    let keys = TrustedKeys::parse([writer.sealer().signing.public_text().unwrap().as_str()]).unwrap();
    let trust = Trust::Keys(keys);
    // Anybody can store one in the same folder.
    let stranger = SigningKey::generate("stranger").unwrap();
    let forged = crate::archive::lineage::sign(&stranger, &origin, TimelineId(2), b"1\t0/28\tx\n").unwrap();
    let key = layout::wal_lineage(repository.instance(), TimelineId(2), Sha256::of(&forged));
    repository.store().put_new(&key, forged).await.unwrap();
    let listed = reader.list().await.unwrap().lineages;
    assert_eq!(listed.len(), 2);
    let lineages = repository.lineages(&listed, &origin, &trust).await.unwrap();
    let parent = Ancestor { timeline: TimelineId(1), until: Lsn(0x300_0110) };
    assert_eq!(lineages.known.into_iter().collect::<Vec<_>>(), [(TimelineId(2), vec![parent])]);
    assert!(lineages.contradicting.is_empty());
    let anyone = repository.lineages(&listed, &origin, &Trust::Anyone).await.unwrap();
    assert_eq!(anyone.contradicting, [TimelineId(2)]);
}

fn name(file: &str, begin: u32, end: u32, plain: &[u8]) -> WalName {
    let (plain, stored) = (HalfDigest::of(plain), HalfDigest::of(&begin.to_le_bytes()));
    WalName { file: file.parse().unwrap(), begin, end, plain, stored, signature: None }
}

#[test]
fn windows_join_what_touches_and_name_gaps_and_conflicts() {
    const MIB: u64 = 1 << 20;
    let size = SegmentBytes::try_from(MIB).unwrap();
    let m = MIB as u32;
    let names = [
        name("000000010000000000000001", 0, m, b"1"),
        name("000000010000000000000002", 0, 100, b"a"),
        name("000000010000000000000002", 50, m, b"b"),
        name("000000010000000000000003", 0, 8192, b"c"),
        name("000000010000000000000003", 8200, 8300, b"d"),
        name("000000010000000100000000", 0, m, b"e"),
        name("000000010000000100000000", 0, m, b"f"),
        name("000000020000000000000003", 0, m, b"g"),
        name("000000010000000000000004.partial", 0, m, b"h"),
        name("000000010000000000001000", 0, m, b"no segment of this size"),
    ];
    let range = |begin: u64, end: u64| LsnRange { begin: Lsn(begin), end: Lsn(end) };
    let found = windows(&names, size);
    assert_eq!(found.len(), 2);
    let log = 1 << 32;
    let three = 3 * MIB;
    assert_eq!(
        found[0].ranges,
        [range(MIB, three + 8192), range(three + 8200, three + 8300), range(log, log + MIB)]
    );
    assert_eq!(found[0].gaps, [range(three + 8192, three + 8200), range(three + 8300, log)]);
    assert_eq!(found[0].conflicts, [range(log, log + MIB)]);
    assert_eq!(found[1].ranges, [range(three, 4 * MIB)]);
    assert_eq!(segment_bytes(&names), size);
    assert!(windows([], size).is_empty());
}

#[test]
fn a_segment_is_put_together_from_the_fewest_objects_as_far_as_they_go() {
    let ranges = |pieces: &[(u32, u32)]| -> Vec<(u32, u32)> {
        let names: Vec<WalName> = pieces.iter().map(|(b, e)| name(FIRST, *b, *e, b"")).collect();
        assemble(&names).iter().map(|name| (name.begin, name.end)).collect()
    };
    assert_eq!(ranges(&[(0, 10), (10, 20), (5, 30), (40, 50)]), [(0, 10), (5, 30)]);
    assert_eq!(ranges(&[(0, 10), (0, 100), (10, 100)]), [(0, 100)]);
    assert_eq!(ranges(&[(1, 10)]), []);
    assert_eq!(ranges(&[]), []);
}

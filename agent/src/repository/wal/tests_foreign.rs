//! Objects among the WAL that no key of ours signed, and those that older programs stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::tests::{FIRST, Place, file, place};
use super::*;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::wal::{HalfDigest, WalOpener};
use crate::error::Kind;

/// Every way to put an object that we did not make where it looks like ours.
async fn foreign_objects(place: &Place, name: &str) -> Vec<String> {
    let store = place.reader.repository().store();
    let content = bytes::Bytes::from(vec![9; 100]);
    let elsewhere = self::place().await;
    let (own, other) = (&place.writer, &elsewhere.writer);
    let mut put = Vec::new();
    let mut forge = async |name: WalName, bytes: &[u8]| {
        let key = layout::wal_object(place.reader.repository().instance(), &name);
        store.put_new(&key, bytes.to_vec()).await.unwrap();
        put.push(key);
    };
    let garbage = |n: u8| vec![n; 300];
    let claim = |n: u8, end: u32, plain: &[u8]| WalName {
        file: file(name),
        begin: 0,
        end,
        plain: HalfDigest::of(plain),
        stored: HalfDigest::of(&garbage(n)),
        signature: None,
    };
    forge(claim(1, 100, b"other"), &garbage(1)).await;
    forge(claim(2, 100, &content), &garbage(2)).await;
    forge(claim(3, 1 << 24, b"longer"), &garbage(3)).await;
    // signed by somebody, for another place, and copied from another file
    let Sealed { name: theirs, stored: bytes } =
        other.seal_range(file(name), 0, content.clone()).await.unwrap();
    forge(theirs, &bytes).await;
    forge(WalName { signature: theirs.signature, ..claim(4, 100, b"x") }, &garbage(4)).await;
    let Sealed { name: copied, stored: bytes } =
        own.seal_range(file("0000000A0000000A0000000A"), 0, content).await.unwrap();
    forge(WalName { file: file(name), ..copied }, &bytes).await;
    put.sort();
    put
}

#[tokio::test]
async fn what_nobody_signed_decides_nothing_beside_what_is_signed_and_alone() {
    let content = bytes::Bytes::from(vec![5; 100]);
    for name in [
        FIRST,
        "000000010000000000000001.partial",
        "00000001000000000000000F.00000028.backup",
        "00000002.history",
    ] {
        let place = place().await;
        let Place { writer, reader, .. } = &place;
        writer.put_file(file("000000010000000000000000"), Arc::new(content.clone())).await.unwrap();
        let put = foreign_objects(&place, name).await;
        // alone it does not count: writers store, readers see the end
        assert!(writer.stored(file(name)).await.unwrap().names.is_empty());
        assert!(!reader.is_stored(file(name)).await.unwrap());
        assert_eq!(reader.list().await.unwrap().objects.len(), 1, "{name}");
        assert_eq!(writer.put_file(file(name), Arc::new(content.clone())).await.unwrap(), Put::Stored);
        assert_eq!(writer.put_file(file(name), Arc::new(content.clone())).await.unwrap(), Put::WasThere);
        let list = reader.list().await.unwrap();
        assert_eq!(list.objects.iter().filter(|o| o.name.file == file(name)).count(), 1);
        let mut told: Vec<String> = list.foreign.first.iter().map(|(key, _)| key.clone()).collect();
        told.sort();
        assert_eq!(told, put, "{name}");
        let names = reader.names(file(name)).await.unwrap();
        let signed: Vec<_> = names.iter().filter(|name| name.signature.is_some()).collect();
        assert_eq!(reader.get(*signed[0]).await.unwrap(), content);
        if name.ends_with("history") {
            let histories = reader.histories(&BTreeSet::new()).await.unwrap();
            assert_eq!(histories.texts.len(), 1, "{histories:?}");
        }
    }
}

#[tokio::test]
async fn one_foreign_history_refuses_nothing() {
    let place = place().await;
    let content = bytes::Bytes::from(vec![5; 100]);
    place.writer.put_file(file(FIRST), Arc::new(content)).await.unwrap();
    foreign_objects(&place, "00000007.history").await;
    let histories = place.reader.histories(&BTreeSet::new()).await.unwrap();
    assert!(histories.texts.is_empty());
    assert_eq!(histories.skipped.len(), 3, "{histories:?}");
}

#[tokio::test]
async fn names_of_older_programs_count_until_names_are_signed_and_where_they_must_be_older() {
    let place = place().await;
    let Place { writer, reader, .. } = &place;
    let store = reader.repository().store();
    let old = async |name: &str, n: u8| {
        let content = bytes::Bytes::from(vec![n; 100]);
        let Sealed { name, stored } = writer.seal_range(file(name), 0, content).await.unwrap();
        let name = WalName { signature: None, ..name };
        store.put_new(&layout::wal_object(reader.repository().instance(), &name), stored).await.unwrap();
        name
    };
    let counted = async || -> Vec<String> {
        reader.list().await.unwrap().objects.iter().map(|o| o.name.file.to_string()).collect()
    };
    let [two, four, six] = ["2", "4", "6"].map(|n| format!("00000001000000000000000{n}"));
    old(&two, 2).await;
    old(&four, 4).await;
    assert_eq!(counted().await, [&*two, &*four]);
    assert_eq!(reader.names(file(&four)).await.unwrap().len(), 1);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    // signed out of order: its place is before objects that are older by time
    let three = "000000010000000000000003";
    writer.put_file(file(three), Arc::new(bytes::Bytes::from(vec![3; 100]))).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let late = old(&six, 6).await;
    assert_eq!(counted().await, [&*two, three, &*four]);
    assert!(!reader.counts(&late).await.unwrap());
    // with an identity it is known to be ours, and one that is older by its place counts whatever its time
    assert_eq!(reader.names(file(&six)).await.unwrap(), [late]);
    assert_eq!(reader.get(late).await.unwrap(), [6; 100]);
    let one = "000000010000000000000001";
    old(one, 1).await;
    assert_eq!(counted().await, [one, &*two, three, &*four]);
}

#[tokio::test]
async fn of_two_old_names_the_one_counts_that_opens() {
    let place = place().await;
    let Place { writer, reader, .. } = &place;
    let Sealed { name, stored } =
        writer.seal_range(file(FIRST), 0, bytes::Bytes::from(vec![1; 100])).await.unwrap();
    let name = WalName { signature: None, ..name };
    let store = reader.repository().store();
    let put = async |name: &WalName, bytes: Vec<u8>| {
        store.put_new(&layout::wal_object(reader.repository().instance(), name), bytes).await.unwrap();
    };
    put(&name, stored).await;
    for n in 0..5u8 {
        let garbage = vec![n; 300];
        put(&WalName { plain: HalfDigest::of(&[n]), stored: HalfDigest::of(&garbage), ..name }, garbage)
            .await;
    }
    assert_eq!(reader.names(file(FIRST)).await.unwrap(), [name]);
    assert_eq!(reader.list().await.unwrap().objects.len(), 1);
}

#[tokio::test]
async fn wrong_keys_are_no_end_of_the_wal() {
    let place = place().await;
    let content = bytes::Bytes::from(vec![5; 100]);
    place.writer.put_file(file(FIRST), Arc::new(content)).await.unwrap();
    let trusted = Some(TrustedKeys::default().with(&SigningKey::generate("other").unwrap()));
    let origin = place.reader.repository().origin().await.unwrap();
    let wrong = WalOpener { origin, identities: place.identities.clone(), trusted };
    let reader = WalReader::new(place.reader.repository().clone(), wrong);
    let error = reader.names(file(FIRST)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Signature, "{error:?}");
}

/// `cargo test -p lifeboat --lib names_are_checked -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_hundred_thousand_names_are_checked_in_so_many_seconds() {
    let place = place().await;
    let Place { writer, reader, .. } = &place;
    let origin = reader.repository().origin().await.unwrap();
    let first = writer.put_range(file(FIRST), 0, bytes::Bytes::from_static(b"x")).await.unwrap();
    let root = reader.repository().store().local_root().unwrap().to_owned();
    let key = SigningKey::generate("measured").unwrap();
    for n in 0..100_000u32 {
        let name = WalName { file: file(&format!("0000000100000002{n:08X}")), ..first };
        let path =
            root.join(layout::wal_object(reader.repository().instance(), &name.sign(&origin, &key).unwrap()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    for trusted in [None, Some(TrustedKeys::default().with(&key))] {
        let trust = NameTrust::new(&origin, trusted);
        let begun = std::time::Instant::now();
        let list = reader.repository().wal(&trust, false).await.unwrap();
        println!("{} of them checked: {}: {:?}", list.objects.len(), !trust.is_given_up(), begun.elapsed());
    }
}

//! What is stored as a checkpoint, and what is not believed.

use super::*;
use crate::archive::evidence::sample;
use crate::archive::evidence::scorecard::scorecard;
use crate::store::Store;

async fn repository(store: &Store, instance: &str) -> Repository {
    let _ = Repository::init(store).await;
    let repository = Repository::open(store.clone(), instance.parse().unwrap()).await.unwrap();
    repository.bind(Some("1")).await.unwrap();
    repository
}

async fn checkpoint(repository: &Repository, release: &str) -> Checkpoint {
    let mut checkpoint = sample::checkpoint();
    checkpoint.origin = repository.origin().await.unwrap();
    checkpoint.release.id = release.parse().unwrap();
    checkpoint.scorecard = scorecard(&checkpoint);
    checkpoint
}

fn keys() -> (EvidenceKey, TrustedEvidenceKeys) {
    let key = EvidenceKey::generate().unwrap();
    let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
    (key, trusted)
}

#[tokio::test]
async fn a_checkpoint_is_stored_once_and_completed_by_a_second_call() {
    let store = Store::memory();
    let repository = repository(&store, "prod").await;
    let (key, trusted) = keys();
    for release in ["2026.11.29", "feature/12 Größe 発売"] {
        let checkpoint = checkpoint(&repository, release).await;
        let (id, origin) = (&checkpoint.release.id, &checkpoint.origin);
        assert!(repository.read_checkpoint(id, origin, &trusted).await.unwrap().is_none());
        let stored = repository.store_checkpoint(&checkpoint, &key).await.unwrap();
        assert_eq!(stored.evidence.checkpoint, checkpoint);
        let read = repository.read_checkpoint(id, origin, &trusted).await.unwrap().unwrap();
        assert_eq!((read.envelope, read.evidence), (stored.envelope.clone(), stored.evidence.clone()));
        repository.store_checkpoint(&checkpoint, &key).await.unwrap(); // the same again
        let mut other = checkpoint.clone();
        other.written_by = "another".to_owned();
        let error = repository.store_checkpoint(&other, &key).await.unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists);
        let page = repository.beside_checkpoint(id, MARKDOWN).await.unwrap().unwrap();
        assert_eq!(page, markdown::text(&checkpoint).into_bytes());
        let result = repository.beside_checkpoint(id, SVR).await.unwrap().unwrap();
        svr::check(SVR, &result, &checkpoint, &trusted).unwrap();
        assert_eq!(repository.beside_checkpoint(id, "none").await.unwrap(), None);
    }
    // Killed after checkpoint.json: with another key since, what is missing is added.
    let third = checkpoint(&repository, "third").await;
    let object = layout::release_object(repository.instance(), &third.release.id, CHECKPOINT);
    store.put_new(&object, statement::sign(&third, &key).unwrap()).await.unwrap();
    repository.complete_checkpoint(&third, &key).await.unwrap();
    repository.complete_checkpoint(&third, &keys().0).await.unwrap();
    let result = repository.beside_checkpoint(&third.release.id, SVR).await.unwrap().unwrap();
    svr::check(SVR, &result, &third, &trusted).unwrap();
    let listed = repository.list_releases(&third.origin, &trusted).await.unwrap();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|(_, look)| matches!(look, ReleaseLook::Believed(_))), "{listed:?}");
}

#[tokio::test]
async fn evidence_in_another_place_is_not_believed() {
    let store = Store::memory();
    let (prod, test) = (repository(&store, "prod").await, repository(&store, "test").await);
    let elsewhere = repository(&Store::memory(), "prod").await;
    let (key, trusted) = keys();
    let origin = prod.origin().await.unwrap();
    let put = async |release: &str, bytes: Vec<u8>| {
        let object = layout::release_object(prod.instance(), &release.parse().unwrap(), CHECKPOINT);
        store.put_new(&object, bytes).await.unwrap();
    };
    let read = async |release: &str| {
        let read = prod.read_checkpoint(&release.parse().unwrap(), &origin, &trusted).await;
        read.map(|found| found.is_some()).map_err(|e| (e.kind(), e.what().to_owned()))
    };
    let old = prod.store_checkpoint(&checkpoint(&prod, "old").await, &key).await.unwrap();
    put("new", old.envelope.clone()).await;
    let (kind, what) = read("new").await.unwrap_err();
    assert_eq!(kind, Kind::Integrity);
    assert!(what.ends_with("is the evidence of release old"), "{what}");
    put("ours", statement::sign(&checkpoint(&test, "ours").await, &key).unwrap()).await;
    assert!(read("ours").await.unwrap_err().1.contains("another instance, test"));
    put("theirs", statement::sign(&checkpoint(&elsewhere, "theirs").await, &key).unwrap()).await;
    assert!(read("theirs").await.unwrap_err().1.contains("another repository"));
    let mut altered = checkpoint(&prod, "altered").await;
    altered.origin.instance_sha256 = altered.origin.repository_sha256;
    put("altered", statement::sign(&altered, &key).unwrap()).await;
    assert!(read("altered").await.unwrap_err().1.contains("one of them was altered"));
    put("forged", statement::sign(&checkpoint(&prod, "forged").await, &keys().0).unwrap()).await;
    assert_eq!(read("forged").await.unwrap_err().0, Kind::Signature);
    put("garbage", b"garbage".to_vec()).await;
    assert_eq!(read("garbage").await.unwrap_err().0, Kind::Integrity);
    put("large", vec![b' '; dsse::BYTES_MAX as usize + 1]).await;
    assert_eq!(read("large").await.unwrap_err().0, Kind::Integrity);
    assert_eq!(read("old").await, Ok(true));
    store.put_new("instances/prod/releases/begun/baseline.json", b"{}".to_vec()).await.unwrap();
    let listed = prod.list_releases(&origin, &trusted).await.unwrap();
    let words = listed.iter().map(|(folder, look)| match look {
        ReleaseLook::Believed(_) => format!("{folder} "),
        ReleaseLook::Unfinished => format!("{folder}? "),
        ReleaseLook::NotBelieved(_) => format!("{folder}! "),
        ReleaseLook::NotRead(_) => format!("{folder}!! "),
    });
    let expected = "altered! begun? forged! garbage! large! new! old ours! theirs! ";
    assert_eq!(words.collect::<String>(), expected);
    let strange = test.store_checkpoint(&checkpoint(&prod, "x").await, &key).await.unwrap_err();
    assert_eq!(strange.kind(), Kind::Conflict);
}

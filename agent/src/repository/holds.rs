//! The holds of an instance: `instances/<instance>/holds/<name>/`.
//!
//! **What is held stays until a trusted key signed that it may go.** A hold is a signed record, created once;
//! its removal is a second one beside it. Neither is ever replaced or deleted, so a name is used once and the
//! history stays. In doubt it holds: a removal that cannot be read, or that no trusted key signed, does not
//! count. If the record of a hold itself cannot be read, nobody knows what it holds; so whoever plans
//! deletions must delete nothing ([`HoldLook::Unknown`]). Somebody who can write to the store, but has no
//! key, can cause this. Therefore it always has a name and a reason.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::digest::Sha256;
use crate::archive::hold::{
    BYTES_MAX, HOLD, HOLD_SIGNATURE, HoldRecord, REMOVED, REMOVED_SIGNATURE, RemovalRecord,
};
use crate::archive::manifest::Origin;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::HoldName;
use crate::repository::record::{Record, Signed};
use crate::repository::{Repository, layout};

/// The objects of a hold; every other name in its folder is foreign.
pub const OBJECTS: [&str; 4] = [HOLD, HOLD_SIGNATURE, REMOVED, REMOVED_SIGNATURE];

/// Holds that are read: whoever can write to the store can make any number of folders.
const HOLDS_MAX: usize = 10_000;
/// Holds read at a time.
const AT_ONCE: usize = 8;
const NOT_OURS: &str = "see the last table of runbooks/legal-hold.md before you remove anything; if the key is \
                        yours, add it to signing.trusted_keys";

/// A hold that is stored and believed.
#[derive(Debug)]
pub struct StoredHold {
    /// What it says.
    pub record: HoldRecord,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// When it was stored, by the store's clock.
    pub since: Timestamp,
    /// Whether it still holds.
    pub removal: Removal,
    /// Objects that were read and checked.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Whether a hold was removed.
#[derive(Debug)]
pub enum Removal {
    /// No: it holds.
    Never,
    /// Yes, and when, by the store's clock.
    Done(Box<RemovalRecord>, Timestamp),
    /// A removal is stored that is not believed, or could not be read: it holds.
    InDoubt(Error),
}

/// What is found under the name of a hold.
#[derive(Debug)]
pub enum HoldLook {
    /// Nothing.
    Nothing,
    /// A hold, whether it was removed or not.
    Stored(Box<StoredHold>),
    /// Objects of a hold without its record: adding it was interrupted, or the record was deleted.
    Half,
    /// A record that is not believed, or could not be read: it may hold anything.
    Unknown(Error),
}

impl HoldLook {
    /// Why it is not known what this holds.
    pub fn why_unknown(self, name: &HoldName) -> Option<Error> {
        match self {
            HoldLook::Nothing | HoldLook::Stored(_) => None,
            HoldLook::Unknown(e) => Some(e.next(NOT_OURS)),
            HoldLook::Half => Some(
                Error::new(
                    Kind::Integrity,
                    format!(
                        "hold {name} has no {HOLD}: lifeboat hold add was interrupted, or {HOLD} was deleted"
                    ),
                )
                .next(format!("run the command that added it again, with the same values; {NOT_OURS}")),
            ),
        }
    }
}

impl Repository {
    fn hold_record(&self, name: &HoldName) -> Record<'static> {
        let key = |object| layout::hold_object(self.instance(), name, object);
        Record { name: HOLD, key: key(HOLD), signature_key: key(HOLD_SIGNATURE), bytes_max: BYTES_MAX }
    }

    fn removal_record(&self, name: &HoldName) -> Record<'static> {
        let key = |object| layout::hold_object(self.instance(), name, object);
        Record {
            name: REMOVED,
            key: key(REMOVED),
            signature_key: key(REMOVED_SIGNATURE),
            bytes_max: BYTES_MAX,
        }
    }

    /// Stores a hold. Idempotent: the same one succeeds again, and completes one that was interrupted.
    ///
    /// # Errors
    /// `AlreadyExists` where another one has its name; that of the store.
    pub async fn store_hold(&self, record: &HoldRecord, signing: &SigningKey) -> Result<()> {
        self.hold_record(&record.name).write(self.for_record().store(), record.to_bytes()?, signing).await
    }

    /// Stores the removal of a hold. Idempotent, like [`Repository::store_hold`].
    ///
    /// # Errors
    /// `AlreadyExists` where another removal is stored; that of the store.
    pub async fn store_removal(&self, record: &RemovalRecord, signing: &SigningKey) -> Result<()> {
        self.removal_record(&record.name).write(self.for_record().store(), record.to_bytes()?, signing).await
    }

    /// What is stored under this name.
    pub async fn hold(&self, name: &HoldName, origin: &Origin, trusted: &TrustedKeys) -> HoldLook {
        match self.stored_hold(name, origin, trusted).await {
            Ok(stored) => HoldLook::Stored(Box::new(stored)),
            Err(e) if e.kind() == Kind::NotFound => match self.is_any(name).await {
                Ok(true) => HoldLook::Half,
                Ok(false) => HoldLook::Nothing,
                Err(e) => HoldLook::Unknown(in_doubt(e, &format!("hold {name}"))),
            },
            Err(e) => HoldLook::Unknown(in_doubt(e, &format!("hold {name}"))),
        }
    }

    /// What is stored under each name, in their order. A folder whose name cannot be that of a hold, or that
    /// has none of its [`OBJECTS`], is left out: nobody stored a hold there.
    ///
    /// # Errors
    /// That of the store where they cannot be listed; `Integrity` where there are too many to read.
    pub async fn holds(&self, origin: &Origin, trusted: &TrustedKeys) -> Result<Vec<(HoldName, HoldLook)>> {
        let look = |name: HoldName| async move {
            let look = match self.hold(&name, origin, trusted).await {
                // Its name was listed.
                HoldLook::Nothing => HoldLook::Half,
                look => look,
            };
            (name, look)
        };
        Ok(stream::iter(self.hold_names().await?).map(look).buffered(AT_ONCE).collect().await)
    }

    async fn hold_names(&self) -> Result<BTreeSet<HoldName>> {
        let (mut names, folder) = (BTreeSet::new(), layout::holds(self.instance()));
        let mut listed = self.store().list(&folder);
        while let Some(info) = listed.try_next().await? {
            let rest = info.key.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
            let Some((name, object)) = rest.and_then(|rest| rest.split_once('/')) else { continue };
            if let (Ok(name), true) = (name.parse(), OBJECTS.contains(&object)) {
                names.insert(name);
            }
            if names.len() > HOLDS_MAX {
                let what = format!("{folder} has more than {HOLDS_MAX} holds");
                return Err(Error::new(Kind::Integrity, what)
                    .effect("not all of them are read, so it is not known what is held")
                    .next("find out who made them"));
            }
        }
        Ok(names)
    }

    /// Whether an object of this hold exists.
    async fn is_any(&self, name: &HoldName) -> Result<bool> {
        for object in OBJECTS {
            if self.store().head(&layout::hold_object(self.instance(), name, object)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn stored_hold(
        &self,
        name: &HoldName,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<StoredHold> {
        let signed = signed(self.hold_record(name).read(self, trusted).await?, (name, HOLD))?;
        let record = HoldRecord::parse(name, origin, &signed.record)?;
        let (sha256, since) = (Sha256::of(&signed.record), signed.record.stored_at);
        let bytes = signed.record.len() as u64 + signed.signature_bytes;
        drop(signed); // one unproven object at a time
        let mut stored = StoredHold { record, sha256, since, removal: Removal::Never, objects: 2, bytes };
        match self.stored_removal(&stored, trusted).await {
            Ok(Some((removal, at, bytes))) => {
                stored.removal = Removal::Done(Box::new(removal), at);
                stored.objects += 2;
                stored.bytes += bytes;
            }
            Ok(None) => {}
            Err(e) => stored.removal = Removal::InDoubt(in_doubt(e, &format!("the removal of hold {name}"))),
        }
        Ok(stored)
    }

    /// The removal of a hold, when it was stored, and its size.
    async fn stored_removal(
        &self,
        hold: &StoredHold,
        trusted: &TrustedKeys,
    ) -> Result<Option<(RemovalRecord, Timestamp, u64)>> {
        let (name, origin) = (&hold.record.name, &hold.record.origin);
        let place = self.removal_record(name);
        let read = match place.read(self, trusted).await {
            Err(e) if e.kind() == Kind::NotFound => {
                let what = format!("lifeboat hold remove was interrupted, or {REMOVED} was deleted");
                return match self.store().head(&place.signature_key).await? {
                    None => Ok(None),
                    Some(_) => Err(Error::new(
                        Kind::Integrity,
                        format!("hold {name} has no {REMOVED}: {what}"),
                    )
                    .next(format!(
                        "run the command that removed it again, with the same values, or remove {} with the store's own tools",
                        place.signature_key
                    ))),
                };
            }
            read => read?,
        };
        let signed = signed(read, (name, REMOVED))?;
        let removal = RemovalRecord::parse(name, origin, hold.sha256, &signed.record)?;
        let bytes = signed.record.len() as u64 + signed.signature_bytes;
        Ok(Some((removal, signed.record.stored_at, bytes)))
    }
}

/// The error with the name of what it is about.
fn in_doubt(error: Error, what: &str) -> Error {
    let is = if error.is_damage() { "is not believed" } else { "could not be read" };
    error.context(format!("{what} {is}"))
}

/// A record that nobody signed is not believed.
fn signed(read: Option<Signed>, (name, object): (&HoldName, &str)) -> Result<Signed> {
    read.ok_or_else(|| Error::new(Kind::Signature, format!("{object} of hold {name} has no signature")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::hold::Held;
    use crate::store::Store;

    async fn repository(store: &Store, instance: &str) -> Repository {
        let _ = Repository::init(store).await;
        let repository = Repository::open(store.clone(), instance.parse().unwrap()).await.unwrap();
        repository.bind(Some("1")).await.unwrap();
        repository
    }

    fn record(origin: &Origin, name: &str, by: &str) -> HoldRecord {
        let held = Held::Tenant("shop".parse().unwrap());
        HoldRecord::new(origin.clone(), name.parse().unwrap(), held, ("audit", by)).unwrap()
    }

    /// Each hold with a mark: removed `-`, removal in doubt `~`, half `?`, unknown `!`.
    fn marked(looks: &[(HoldName, HoldLook)]) -> String {
        let mark = |look: &HoldLook| match look {
            HoldLook::Nothing => "nothing",
            HoldLook::Half => "?",
            HoldLook::Unknown(_) => "!",
            HoldLook::Stored(stored) => match &stored.removal {
                Removal::Never => "",
                Removal::Done(..) => "-",
                Removal::InDoubt(_) => "~",
            },
        };
        let words: Vec<String> = looks.iter().map(|(name, look)| format!("{name}{}", mark(look))).collect();
        words.join(" ")
    }

    #[tokio::test]
    async fn a_hold_is_stored_once_and_an_interrupted_one_is_completed() {
        let store = Store::memory();
        let repository = repository(&store, "prod").await;
        let origin = repository.origin().await.unwrap();
        let key = SigningKey::generate("ours").unwrap();
        let trusted = TrustedKeys::default().with(&key);
        let look = async || marked(&repository.holds(&origin, &trusted).await.unwrap());
        assert_eq!(look().await, "");

        let audit = record(&origin, "audit", "anna");
        let place = repository.hold_record(&audit.name);
        let bytes = audit.to_bytes().unwrap();
        store.put_new(&place.signature_key, key.sign(&bytes).unwrap().into_bytes()).await.unwrap();
        assert_eq!(look().await, "audit?");
        let other = repository.store_hold(&record(&origin, "audit", "ben"), &key).await.unwrap_err();
        assert_eq!(other.kind(), Kind::AlreadyExists);
        repository.store_hold(&audit, &key).await.unwrap();
        repository.store_hold(&audit, &key).await.unwrap();
        assert_eq!(look().await, "audit");

        let HoldLook::Stored(stored) = repository.hold(&audit.name, &origin, &trusted).await else {
            panic!()
        };
        assert_eq!((&stored.record, stored.objects), (&audit, 2));
        let removal = RemovalRecord::new(&audit, stored.sha256, ("closed", "ben")).unwrap();
        let place = repository.removal_record(&audit.name);
        let signature = key.sign(&removal.to_bytes().unwrap()).unwrap();
        store.put_new(&place.signature_key, signature.into_bytes()).await.unwrap();
        assert_eq!(look().await, "audit~", "a removal that was interrupted does not count");
        repository.store_removal(&removal, &key).await.unwrap();
        repository.store_removal(&removal, &key).await.unwrap();
        assert_eq!(look().await, "audit-");
    }

    #[tokio::test]
    async fn in_doubt_it_holds_and_what_it_holds_may_be_unknown() {
        let store = Store::memory();
        let prod = repository(&store, "prod").await;
        let origin = prod.origin().await.unwrap();
        let [key, stranger] = ["ours", "theirs"].map(|name| SigningKey::generate(name).unwrap());
        let trusted = TrustedKeys::default().with(&key);
        let digest = |record: &HoldRecord| Sha256::of(&record.to_bytes().unwrap());
        let put = async |name: &str, object: &str, bytes: Vec<u8>| {
            let key = format!("instances/prod/holds/{name}/{object}");
            store.put_new(&key, bytes).await.unwrap();
        };

        // Removals that do not count: of nobody, of a stranger, of another hold, garbage, too large.
        for name in ["a-bare", "b-strange", "c-other", "d-garbage", "e-large", "f-done", "g-of-another"] {
            prod.store_hold(&record(&origin, name, "anna"), &key).await.unwrap();
        }
        let remove = |name: &str, by: &HoldRecord| {
            let hold = record(&origin, name, "anna");
            RemovalRecord::new(&hold, digest(by), ("closed", "ben")).unwrap()
        };
        let own = |name: &str| remove(name, &record(&origin, name, "anna"));
        put("a-bare", REMOVED, own("a-bare").to_bytes().unwrap()).await;
        prod.store_removal(&own("b-strange"), &stranger).await.unwrap();
        prod.store_removal(&remove("c-other", &record(&origin, "c-other", "ben")), &key).await.unwrap();
        put("d-garbage", REMOVED_SIGNATURE, b"garbage".to_vec()).await;
        put("d-garbage", REMOVED, b"garbage".to_vec()).await;
        put("e-large", REMOVED_SIGNATURE, vec![b'x'; 100_000]).await;
        prod.store_removal(&own("f-done"), &key).await.unwrap();
        let bytes = own("f-done").to_bytes().unwrap();
        put("g-of-another", REMOVED_SIGNATURE, key.sign(&bytes).unwrap().into_bytes()).await;
        put("g-of-another", REMOVED, bytes).await;

        // Holds of which nothing is known: of nobody, of a stranger, of another instance, damaged, half.
        put("k-bare", HOLD, record(&origin, "k-bare", "anna").to_bytes().unwrap()).await;
        prod.store_hold(&record(&origin, "l-strange", "anna"), &stranger).await.unwrap();
        let elsewhere = repository(&store, "test").await.origin().await.unwrap();
        prod.store_hold(&record(&elsewhere, "m-moved", "anna"), &key).await.unwrap();
        let signature = key.sign(&record(&origin, "n-damaged", "anna").to_bytes().unwrap()).unwrap();
        put("n-damaged", HOLD_SIGNATURE, signature.into_bytes()).await;
        put("n-damaged", HOLD, b"{}".to_vec()).await;
        put("o-half", REMOVED, b"{}".to_vec()).await;

        // What is no hold at all.
        put("Upper", HOLD, b"{}".to_vec()).await;
        put("readme", "readme.txt", b"hello".to_vec()).await;
        put("deep", "er/hold.json", b"{}".to_vec()).await;

        let looks = prod.holds(&origin, &trusted).await.unwrap();
        assert_eq!(
            marked(&looks),
            "a-bare~ b-strange~ c-other~ d-garbage~ e-large~ f-done- g-of-another~ \
             k-bare! l-strange! m-moved! n-damaged! o-half?"
        );
        for (name, look) in looks {
            let line = look.why_unknown(&name).map(|e| e.line());
            assert!(line.is_none_or(|line| line.contains(name.as_str())), "each is named");
        }
        let nothing = prod.hold(&"none".parse().unwrap(), &origin, &trusted).await;
        assert!(matches!(nothing, HoldLook::Nothing), "{nothing:?}");
    }
}

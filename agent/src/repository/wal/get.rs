//! Fetches WAL and checks every object; with an identity, finds out which objects are ours.
//!
//! A name without a signature is only a claim, and its content is the proof. Where the content does not open
//! as ours, the object is foreign, unless it counts by its age ([`super::believed`]) and its bytes do not
//! match its name: then it is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::coverage::contradiction;
use super::{Foreign, Listed, WalList, WalObject};
use crate::archive::wal::{HalfDigest, STORED_BYTES_MAX, WalName, WalOpener};
use crate::archive::wal_name::NameTrust;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentName, TimelineId, WalFile};
use crate::repository::wal::put::blocking;
use crate::repository::{Repository, layout};

/// The most objects without a signed name that are opened to see which of them are ours: whoever can write to
/// the store can make any number.
const CLAIMS_OPENED_MAX: usize = 1_000;

/// Reads WAL of one instance. Cheap to clone.
#[derive(Clone)]
pub struct WalReader {
    repository: Repository,
    opener: Arc<WalOpener>,
    trust: NameTrust,
    /// A listing of all WAL, once it was needed.
    all: Arc<OnceCell<Survey>>,
}

/// What a listing of all WAL says that matters for a single file.
struct Survey {
    /// The names without a signature that count, sorted.
    older: Vec<WalName>,
    /// The last segment of each timeline that counts.
    newest: BTreeMap<TimelineId, SegmentName>,
    foreign: Foreign,
}

/// The histories that are stored.
#[derive(Debug, Default)]
pub struct Histories {
    /// Their texts; a timeline with two of them is listed twice.
    pub texts: Vec<(TimelineId, String)>,
    /// What was ignored, and why, in sentences.
    pub skipped: Vec<String>,
}

impl WalReader {
    /// A reader; the opener's origin is that of `repository` ([`Repository::origin`]).
    pub fn new(repository: Repository, opener: WalOpener) -> WalReader {
        let trust = opener.name_trust();
        WalReader { repository, opener: Arc::new(opener), trust, all: Arc::default() }
    }

    /// The repository that it reads.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The content of one object, completely checked; see [`WalOpener::open`].
    ///
    /// # Errors
    /// `NotFound` only where the store says so; `Integrity`, `Identity`, `Signature`.
    pub async fn get(&self, name: WalName) -> Result<Vec<u8>> {
        let key = layout::wal_object(self.repository.instance(), &name);
        let stored = self.repository.store().get(&key, STORED_BYTES_MAX).await?;
        let opener = self.opener.clone();
        blocking(move || opener.open(&name, &stored)).await
    }

    /// The same for bytes that were already fetched.
    ///
    /// # Errors
    /// As [`WalReader::get`], but for those of the store.
    pub fn open(&self, name: &WalName, stored: &[u8]) -> Result<Vec<u8>> {
        self.opener.open(name, stored)
    }

    /// All WAL that counts. Where names without a signature contradict each other, their content decides.
    pub async fn list(&self) -> Result<WalList> {
        let mut list = self.repository.wal(&self.trust, false).await?;
        let (mut older, signed): (Vec<_>, Vec<_>) =
            list.objects.into_iter().partition(|object| object.name.signature.is_none());
        self.settle(&mut older).await?;
        list.objects = signed;
        list.objects.extend(older);
        list.objects.sort_by_key(|object| object.name);
        Ok(list)
    }

    /// What is stored of a file: signed names, and claims for bytes that these do not have.
    ///
    /// # Errors
    /// `Integrity` where two that are ours contradict each other; those of [`WalReader::check_end`].
    pub async fn names(&self, file: WalFile) -> Result<Vec<WalName>> {
        let Listed { signed, mut unsigned, foreign, .. } =
            self.repository.wal_of_file(file, &self.trust).await?;
        if signed.is_empty() && unsigned.is_empty() && foreign.count() > 0 {
            self.check_end(file).await?;
        }
        unsigned.retain(|claim| !signed.iter().any(|known| claim.name.lies_within(&known.name)));
        self.settle(&mut unsigned).await?;
        let mut names: Vec<WalName> = signed.into_iter().chain(unsigned).map(|object| object.name).collect();
        names.sort();
        contradiction(&names)?;
        Ok(names)
    }

    /// Whether something of a file counts: a claim that was not opened does not count by itself.
    pub async fn is_stored(&self, file: WalFile) -> Result<bool> {
        let Listed { signed, unsigned, .. } = self.repository.wal_of_file(file, &self.trust).await?;
        if !signed.is_empty() {
            return Ok(true);
        }
        for claim in unsigned {
            if self.counts(&claim.name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a name counts by itself, opened or not. For a name without a signature, all WAL is listed,
    /// once.
    pub async fn counts(&self, name: &WalName) -> Result<bool> {
        if name.signature.is_some() || self.trust.is_given_up() {
            return Ok(true);
        }
        Ok(self.survey().await?.older.binary_search(name).is_ok())
    }

    async fn survey(&self) -> Result<&Survey> {
        let survey = self.all.get_or_try_init(async || {
            let WalList { objects, foreign, .. } = self.repository.wal(&self.trust, false).await?;
            let mut newest: BTreeMap<TimelineId, SegmentName> = BTreeMap::new();
            for object in &objects {
                if let WalFile::Segment(segment) = object.name.file {
                    newest.insert(segment.timeline, segment); // they are sorted
                }
            }
            let names = objects.into_iter().map(|object| object.name);
            let older = names.filter(|name| name.signature.is_none()).collect();
            Ok::<_, Error>(Survey { older, newest, foreign })
        });
        survey.await
    }

    /// Where only foreign objects of a file are stored, checks that nothing of ours is missing: only then is
    /// this the end of the WAL.
    ///
    /// # Errors
    /// `Signature` where no WAL at all counts: the keys may be wrong. `Integrity` where later WAL counts.
    pub async fn check_end(&self, file: WalFile) -> Result<()> {
        let Survey { newest, foreign, .. } = self.survey().await?;
        if newest.is_empty() {
            return Err(Error::new(Kind::Signature, "no stored WAL is signed with a trusted key")
                .because(foreign.text().unwrap_or_default())
                .next("add the public half of the key that signed it to signing.trusted_keys"));
        }
        match (file, newest.get(&file.timeline())) {
            (WalFile::Segment(segment), Some(newest)) if *newest > segment => Err(Error::new(
                Kind::Integrity,
                format!("{segment} is not stored with a trusted signature although the later {newest} is"),
            )
            .because(foreign.text().unwrap_or_default())
            .next("if a signing key was replaced, add the public half of the old one to signing.trusted_keys as well; otherwise restore to an earlier time")),
            _ => Ok(()),
        }
    }

    /// Opens claims that contradict each other, and drops those that are not ours.
    async fn settle(&self, claims: &mut Vec<WalObject>) -> Result<()> {
        claims.sort_by_key(|claim| claim.name);
        let same = |a: &WalObject, b: &WalObject| {
            (a.name.file, a.name.begin, a.name.end) == (b.name.file, b.name.begin, b.name.end)
        };
        let groups =
            claims.chunk_by(same).filter(|group| group[0].name.plain != group[group.len() - 1].name.plain);
        let mut doubtful: Vec<WalObject> = groups.flatten().copied().collect();
        doubtful.sort_by_key(|claim| claim.stored_at);
        let mut foreign = Vec::new();
        for (at, claim) in doubtful.iter().enumerate() {
            if at >= CLAIMS_OPENED_MAX || self.is_other(claim).await? {
                foreign.push(claim.name);
            }
        }
        foreign.sort();
        claims.retain(|claim| foreign.binary_search(&claim.name).is_err());
        Ok(())
    }

    async fn is_other(&self, claim: &WalObject) -> Result<bool> {
        match self.get(claim.name).await {
            Ok(_) => Ok(false),
            Err(e) if self.is_foreign(&claim.name, &e).await? => {
                tracing::warn!("{} is foreign and was ignored: {e:?}", claim.name);
                Ok(true)
            }
            Err(e) if is_no_proof(&e) => Ok(false), // damaged: it is kept, and contradicts
            Err(e) => Err(e),
        }
    }

    /// Whether an object that did not open for this reason was never ours. The digest of a damaged object of
    /// ours does not match its name.
    pub async fn is_foreign(&self, name: &WalName, error: &Error) -> Result<bool> {
        let answered = is_no_proof(error) || error.kind() == Kind::Denied;
        if name.signature.is_some() || !answered {
            return Ok(false);
        }
        if !self.counts(name).await? {
            return Ok(true);
        }
        if !matches!(error.kind(), Kind::Integrity | Kind::Signature) {
            return Ok(false);
        }
        let key = layout::wal_object(self.repository.instance(), name);
        match self.repository.store().get(&key, STORED_BYTES_MAX).await {
            Ok(stored) => Ok(HalfDigest::of(&stored) == name.stored),
            Err(e) if is_no_proof(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The histories of all timelines except those in `told`, whose ancestors are already known.
    ///
    /// # Errors
    /// Where one that counts cannot be read, and no other of its timeline can.
    pub async fn histories(&self, told: &BTreeSet<TimelineId>) -> Result<Histories> {
        let Listed { signed, mut unsigned, .. } = self.repository.wal_histories(&self.trust).await?;
        unsigned.sort_by_key(|claim| claim.stored_at);
        let mut found = Histories::default();
        let mut damaged: Vec<(TimelineId, Error)> = Vec::new();
        let mut opened = 0;
        for object in signed.into_iter().chain(unsigned) {
            let name = object.name;
            let WalFile::History(timeline) = name.file else { continue };
            if told.contains(&timeline) {
                continue;
            }
            let is_known = found.texts.iter().any(|(known, _)| *known == timeline);
            if name.signature.is_none() && is_known && !self.trust.is_given_up() {
                continue;
            }
            opened += usize::from(name.signature.is_none());
            if opened > CLAIMS_OPENED_MAX && !self.counts(&name).await? {
                continue;
            }
            match self.get(name).await {
                Ok(text) => found.texts.push((timeline, String::from_utf8_lossy(&text).into_owned())),
                Err(e) if self.is_foreign(&name, &e).await? => {
                    found.skipped.push(format!("{name} is foreign and was ignored: {}", e.what()));
                }
                Err(e) if is_no_proof(&e) => damaged.push((timeline, e)),
                Err(e) => return Err(e),
            }
        }
        match damaged
            .into_iter()
            .find(|(timeline, _)| !found.texts.iter().any(|(known, _)| known == timeline))
        {
            Some((_, e)) => Err(e),
            None => Ok(found),
        }
    }
}

/// Whether an error means that an object is not ours as it is: damaged, invented, removed, or encrypted to
/// others.
fn is_no_proof(error: &Error) -> bool {
    matches!(error.kind(), Kind::Integrity | Kind::Signature | Kind::Identity | Kind::NotFound)
}

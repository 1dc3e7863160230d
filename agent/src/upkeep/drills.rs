//! Reports of restore drills: signed by a key that is trusted, of this repository and instance,
//! under their own name, and every file of the drill is as they say. They are small and read whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::archive::digest::{Hashing, Sha256};
use crate::archive::drill::{self, BYTES_MAX, Envelope, JSON, SIGNATURE, Stored};
use crate::error::{Error, Kind, Result};
use crate::repository::record::Signed;
use crate::repository::snapshots::Trust;
use crate::repository::unproven::Held;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::Findings;
use crate::upkeep::work::UNREACHABLE_MAX;

/// Drills that are looked at at once.
const DRILLS_AT_ONCE: usize = 8;

/// The result of a check of all drills, besides its findings.
#[derive(Debug, Default)]
pub struct Drills {
    /// Objects that were read and compared.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Drills that have no `report.json`.
    pub unfinished: Vec<String>,
    unreachable: u64,
}

/// One drill under check.
struct Check<'a> {
    repository: &'a Repository,
    trust: &'a Trust,
    findings: &'a Findings,
    name: &'a str,
    listed: &'a BTreeSet<&'a str>,
    seen: Drills,
}

/// Checks every report below the instance's `drills/`, as `listed`. What is wrong or could not be
/// looked at goes to `findings`.
pub async fn check(
    repository: &Repository,
    trust: &Trust,
    listed: &HashMap<String, u64>,
    findings: &Findings,
    cancel: &CancellationToken,
) -> Drills {
    let folder = format!("{}/", layout::drills(repository.instance()));
    let mut drills: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for key in listed.keys() {
        match key.strip_prefix(&folder).map(|rest| rest.split_once('/')) {
            Some(Some((drill, name))) => drop(drills.entry(drill).or_default().insert(name)),
            Some(None) => findings.add_foreign(key, "it lies directly in the folder of the drills", false),
            None => {}
        }
    }
    let mut seen = Drills::default();
    let mut left = drills.len();
    let mut checks = stream::iter(&drills)
        .map(|(name, listed)| {
            let seen = Drills::default();
            Check { repository, trust, findings, name, listed, seen }.run()
        })
        .buffer_unordered(DRILLS_AT_ONCE);
    while !cancel.is_cancelled() && seen.unreachable < UNREACHABLE_MAX {
        let Some(one) = checks.next().await else { break };
        left -= 1;
        seen.objects += one.objects;
        seen.bytes += one.bytes;
        seen.unreachable += one.unreachable;
        seen.unfinished.extend(one.unfinished);
    }
    if left > 0 {
        findings.skip(&folder, format!("{left} reports were not checked"));
    }
    seen.unfinished.sort();
    seen
}

impl Check<'_> {
    async fn run(mut self) -> Drills {
        let key = self.key(JSON);
        match self.report().await {
            Ok(Some(stored)) => self.files(stored).await,
            Ok(None) => {}
            Err(e) if e.kind() == Kind::NotFound => self.seen.unfinished.push(self.name.to_owned()),
            Err(e) => self.note(&key, e),
        }
        self.seen
    }

    fn key(&self, name: &str) -> String {
        layout::drill(self.repository.instance(), self.name, name)
    }

    fn note(&mut self, key: &str, error: Error) {
        self.seen.unreachable += u64::from(error.kind() == Kind::Unreachable);
        self.findings.sort(key, error, Vec::new());
    }

    /// The digest of a file, which is not kept: whoever can write to the store says how large it is.
    async fn digest(&mut self, key: &str) -> Result<Sha256> {
        let (info, mut pieces) = self.repository.store().get_stream(key).await?;
        let size = info.bytes;
        if size > BYTES_MAX {
            let what = format!("it has {size} bytes; more than {BYTES_MAX} cannot be right");
            return Err(Error::new(Kind::Integrity, what));
        }
        let mut digest = Hashing::new(std::io::sink());
        while let Some(piece) = pieces.try_next().await? {
            digest.write_all(&piece).map_err(|e| Error::new(Kind::Internal, "cannot hash").because(e))?;
            self.seen.bytes += piece.len() as u64;
        }
        self.seen.objects += 1;
        Ok(digest.finish().1)
    }

    /// The report itself; what it says of the files beside it, where it says so.
    async fn report(&mut self) -> Result<Option<Stored>> {
        let bad = |what: String| Error::new(Kind::Integrity, what);
        let (json, signed) = self.json().await?;
        let Envelope { drill, stored } = drill::read(&json)?;
        if drill != self.name {
            return Err(bad(format!("it is the report of drill {drill}, under another name")));
        }
        if let Some(stored) = &stored {
            let (id, instance) = (self.repository.id(), self.repository.instance());
            if stored.repository.as_deref().is_some_and(|other| other != id)
                || stored.instance.as_ref().is_some_and(|other| other != instance)
            {
                return Err(bad("it was written for another repository or instance".to_owned()));
            }
            if stored.signed && !signed && matches!(self.trust, Trust::Keys(_)) {
                return Err(Error::new(
                    Kind::Signature,
                    format!("it was signed, and its signature {SIGNATURE} is missing"),
                ));
            }
        }
        if !signed && matches!(self.trust, Trust::Keys(_)) {
            let why = "nobody signed it: whoever can write to the repository may have made it up";
            self.findings.skip(&self.key(JSON), why.to_owned());
        }
        if stored.is_none() {
            let why = "report.json names no other file of the drill, as older versions did";
            for name in self.listed.iter().filter(|name| ![JSON, SIGNATURE].contains(name)) {
                self.findings.skip(&self.key(name), why.to_owned());
            }
        }
        Ok(stored)
    }

    /// The bytes of `report.json`, and whether there is a good signature; none at all is no error here.
    async fn json(&mut self) -> Result<(Held, bool)> {
        let record = self.repository.drill_record(self.name);
        let signed = match self.trust {
            Trust::Keys(keys) => record.read(self.repository, keys).await.map_err(|e| match e.kind() {
                Kind::Signature => {
                    Error::new(e.kind(), format!("not believed; see {SIGNATURE} too: {}", e.what()))
                }
                _ => e,
            })?,
            Trust::Anyone => None,
        };
        let is_signed = signed.is_some();
        let json = match signed {
            Some(Signed { record, signature_bytes, .. }) => {
                self.seen.objects += 1;
                self.seen.bytes += signature_bytes;
                record
            }
            None => self.repository.get_unproven(&record.key, BYTES_MAX).await?,
        };
        self.seen.objects += 1;
        self.seen.bytes += json.len() as u64;
        Ok((json, is_signed))
    }

    /// Everything beside the report: as it says, and nothing else.
    async fn files(&mut self, stored: Stored) {
        for object in &stored.files {
            let key = self.key(&object.name);
            match self.digest(&key).await {
                Ok(sha256) if sha256 == object.sha256 => {}
                Ok(sha256) => {
                    let what = format!("it has SHA-256 {sha256}, {JSON} of its drill says {}", object.sha256);
                    self.note(&key, Error::new(Kind::Integrity, what));
                }
                Err(e) => self.note(&key, e),
            }
        }
        let known =
            |name: &str| [JSON, SIGNATURE].contains(&name) || stored.files.iter().any(|f| f.name == name);
        for name in self.listed.iter().filter(|name| !known(name)) {
            let why = format!("{JSON} of its drill does not name it");
            self.findings.add_foreign(&self.key(name), why, false);
        }
    }
}

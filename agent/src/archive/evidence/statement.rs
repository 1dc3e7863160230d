//! The in-toto Statement v1 of a checkpoint: what it is about (subjects), and what it says (the predicate).
//!
//! [`sign`] gives the bytes that are stored; [`open`] believes nothing of them before the signature, and
//! checks again everything that a reader relies on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dsse;
use super::gate::Gate;
use super::key::{EvidenceKey, TrustedEvidenceKeys};
use super::predicate::{Checkpoint, FORMAT};
use super::scorecard::scorecard;
use crate::archive::digest::Sha256;
use crate::error::{Error, Kind, Result};

/// `_type` of every Statement.
pub const TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of our predicate: [`Checkpoint`].
pub const PREDICATE_TYPE: &str = "https://lifeboat-backup.org/evidence/checkpoint/v1";

/// An in-toto Statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement<P> {
    /// [`TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about; never empty.
    pub subject: Vec<Subject>,
    /// The type of the predicate.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What it says.
    pub predicate: P,
}

/// A thing that a Statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its digests by algorithm, as hex digits.
    pub digest: BTreeMap<String, String>,
}

/// Evidence that was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// SHA-256 of the envelope's bytes: the next checkpoint names it.
    pub sha256: Sha256,
    /// The ID of the key that signed it.
    pub keyid: String,
    /// The bytes of the Statement that were signed.
    pub statement: Vec<u8>,
}

impl Subject {
    /// A thing with a SHA-256.
    pub fn sha256(name: &str, digest: &Sha256) -> Subject {
        subject(name, "sha256", digest.to_string())
    }
}

fn subject(name: &str, algorithm: &str, digest: String) -> Subject {
    Subject { name: name.to_owned(), digest: BTreeMap::from([(algorithm.to_owned(), digest)]) }
}

/// What a checkpoint is about: the image, the commit, and the manifest of each snapshot that it names. Where
/// it names nothing of that, the tenants' baselines, and without tenants the release's ID.
pub fn subjects(checkpoint: &Checkpoint) -> Vec<Subject> {
    let release = &checkpoint.release;
    let image = release.image.as_deref().and_then(|image| image.strip_prefix("sha256:"));
    let mut all: Vec<Subject> = Vec::new();
    all.extend(image.map(|digest| subject("image", "sha256", digest.to_owned())));
    all.extend(release.commit.as_ref().map(|commit| subject("commit", "gitCommit", commit.clone())));
    let snapshots = checkpoint.snapshots();
    all.extend(snapshots.iter().map(|one| Subject::sha256(one.id.as_str(), &one.manifest_sha256)));
    if all.is_empty() {
        let baseline = checkpoint.tenants.iter();
        all.extend(baseline.map(|one| {
            subject(&format!("baseline of {}", one.tenant), "sha256", one.baseline_sha256.to_string())
        }));
    }
    if all.is_empty() {
        let digest = Sha256::of(release.id.as_str().as_bytes());
        all.push(subject("release", "sha256", digest.to_string()));
    }
    all
}

/// The signed envelope of a checkpoint, as it is stored.
///
/// # Errors
/// `Usage` where the checkpoint contradicts itself (its scorecard is not what its facts give, a gate is
/// missing, an image or commit is not a digest); `Internal` where it cannot be written so that it is read
/// back as it was.
pub fn sign(checkpoint: &Checkpoint, key: &EvidenceKey) -> Result<Vec<u8>> {
    if let Some(why) = fault(checkpoint) {
        return Err(Error::new(Kind::Usage, format!("this checkpoint cannot be signed: {why}")));
    }
    let statement = Statement {
        kind: TYPE.to_owned(),
        subject: subjects(checkpoint),
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: checkpoint,
    };
    let payload = serde_json::to_vec(&statement)
        .map_err(|e| Error::new(Kind::Internal, "cannot write a Statement").because(e))?;
    let envelope = dsse::sign(&payload, key)?;
    let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
    // A number that is not finite, for example, becomes null.
    match open("the new evidence", &envelope, &trusted) {
        Ok(read) if read.checkpoint == *checkpoint => Ok(envelope),
        Ok(_) => Err(Error::new(Kind::Internal, "the new evidence is not read back as it was written")),
        Err(e) => Err(e.with_kind(Kind::Internal)),
    }
}

/// Verifies an envelope and reads the checkpoint in it. `name` is what it is called in errors.
///
/// # Errors
/// `Signature` where no trusted key signed it; `Integrity` where it is damaged, is about something else, or
/// contradicts itself; `Repository` where a newer program wrote it.
pub fn open(name: &str, envelope: &[u8], trusted: &TrustedEvidenceKeys) -> Result<Evidence> {
    let opened = dsse::open(name, envelope, trusted)?;
    let wrong = |why: String| {
        Error::new(Kind::Integrity, format!("{name} is not the evidence of a checkpoint")).because(why)
    };
    let head: Statement<Head> = serde_json::from_slice(&opened.payload).map_err(|e| wrong(e.to_string()))?;
    if head.kind != TYPE || head.predicate_type != PREDICATE_TYPE {
        return Err(wrong(format!("it is a {:.100} of type {:.100}", head.kind, head.predicate_type)));
    }
    if head.predicate.format > FORMAT {
        let what = format!("{name} has format {}; this program reads format {FORMAT}", head.predicate.format);
        return Err(Error::new(Kind::Repository, what)
            .next("use a Lifeboat at least as new as the one that wrote it"));
    }
    let statement: Statement<Checkpoint> =
        serde_json::from_slice(&opened.payload).map_err(|e| wrong(e.to_string()))?;
    let checkpoint = statement.predicate;
    if let Some(why) = fault(&checkpoint) {
        return Err(Error::new(Kind::Integrity, format!("{name} contradicts itself")).because(why));
    }
    if statement.subject != subjects(&checkpoint) {
        let what = format!("{name} contradicts itself");
        return Err(Error::new(Kind::Integrity, what).because("its subjects are not those of its predicate"));
    }
    Ok(Evidence { checkpoint, sha256: Sha256::of(envelope), keyid: opened.keyid, statement: opened.payload })
}

/// What is read before the rest: other formats have other fields.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Why a checkpoint contradicts itself.
fn fault(checkpoint: &Checkpoint) -> Option<String> {
    let release = &checkpoint.release;
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_image =
        |image: &str| image.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && is_hex(hex));
    let card = scorecard(checkpoint);
    if checkpoint.format != FORMAT {
        return Some(format!("its format is {}", checkpoint.format));
    }
    if !checkpoint.gates.iter().map(|one| one.gate).eq(Gate::ALL) {
        return Some("it does not have every gate once, in order".to_owned());
    }
    if checkpoint.gates.iter().any(|one| one.overridden.is_some() && !one.would_block()) {
        return Some("a gate is overridden that did not fail".to_owned());
    }
    if release.image.as_deref().is_some_and(|image| !is_image(image)) {
        return Some("the image's digest is not sha256: and 64 hex digits".to_owned());
    }
    if release.commit.as_deref().is_some_and(|commit| !(7..=64).contains(&commit.len()) || !is_hex(commit)) {
        return Some("the commit is not 7 to 64 hex digits".to_owned());
    }
    if card != checkpoint.scorecard {
        return Some(format!("its facts give another scorecard: {card:?}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::sample;

    fn key() -> (EvidenceKey, TrustedEvidenceKeys) {
        let key = EvidenceKey::generate().unwrap();
        let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
        (key, trusted)
    }

    #[test]
    fn every_number_of_seconds_is_read_as_it_was_signed() {
        let (key, _) = key();
        let mut checkpoint = sample::checkpoint();
        for n in 0..2_000_u64 {
            // as they are measured: nanoseconds, a few seconds long
            let seconds = std::time::Duration::from_nanos(1_000_000_007 + n * 1_234_567).as_secs_f64();
            checkpoint.rehearsal.as_mut().unwrap().restore_seconds = seconds * 1.1;
            sign(&checkpoint, &key).unwrap_or_else(|e| panic!("{seconds}: {e:?}"));
        }
    }

    #[test]
    fn a_checkpoint_comes_out_as_it_went_in() {
        let (key, trusted) = key();
        let checkpoint = sample::checkpoint();
        let envelope = sign(&checkpoint, &key).unwrap();
        assert_eq!(envelope, sign(&checkpoint, &key).unwrap(), "the same bytes every time");
        let evidence = open("evidence", &envelope, &trusted).unwrap();
        assert_eq!(evidence.checkpoint, checkpoint);
        assert_eq!((evidence.sha256, evidence.keyid.as_str()), (Sha256::of(&envelope), key.public().id()));
        let value: serde_json::Value = serde_json::from_slice(&evidence.statement).unwrap();
        assert_eq!(value["_type"], TYPE);
        assert_eq!(value["predicateType"], PREDICATE_TYPE);
        assert_eq!(value["subject"][0]["name"], "image");
        assert_eq!(value["subject"][1]["digest"]["gitCommit"], checkpoint.release.commit.clone().unwrap());
        assert_eq!(value["subject"].as_array().unwrap().len(), 2 + checkpoint.snapshots().len());
    }

    #[test]
    fn there_is_always_a_subject() {
        let mut checkpoint = sample::checkpoint();
        (checkpoint.release.image, checkpoint.release.commit) = (None, None);
        (checkpoint.base, checkpoint.configuration) = (None, None);
        for tenant in &mut checkpoint.tenants {
            tenant.dump = None;
            tenant.files.held_in.clear();
        }
        let names = |c: &Checkpoint| subjects(c).into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names(&checkpoint), ["baseline of shop_east", "baseline of shop_north"]);
        checkpoint.tenants.clear();
        assert_eq!(names(&checkpoint), ["release"]);
    }

    #[test]
    fn what_contradicts_itself_is_neither_signed_nor_read() {
        let (key, trusted) = key();
        let changes: [fn(&mut Checkpoint); 7] = [
            |c| c.scorecard.readiness = 100,
            |c| c.gates.swap(0, 1),
            |c| drop(c.gates.pop()),
            |c| c.gates[0].overridden = c.gates[4].overridden.clone(),
            |c| c.release.image = Some("sha256:33".to_owned()),
            |c| c.release.commit = Some("main".to_owned()),
            |c| c.format = 0,
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut checkpoint = sample::checkpoint();
            change(&mut checkpoint);
            assert_eq!(sign(&checkpoint, &key).unwrap_err().kind(), Kind::Usage, "{n}");
            // The same, as if a program without this check had signed it.
            let statement = Statement {
                kind: TYPE.to_owned(),
                subject: subjects(&checkpoint),
                predicate_type: PREDICATE_TYPE.to_owned(),
                predicate: checkpoint,
            };
            let envelope = dsse::sign(&serde_json::to_vec(&statement).unwrap(), &key).unwrap();
            assert_eq!(open("evidence", &envelope, &trusted).unwrap_err().kind(), Kind::Integrity, "{n}");
        }
        let mut checkpoint = sample::checkpoint();
        checkpoint.rehearsal.as_mut().unwrap().restore_seconds = f64::NAN;
        assert_eq!(sign(&checkpoint, &key).unwrap_err().kind(), Kind::Internal);
    }

    #[test]
    fn other_statements_and_newer_formats_are_told_apart() {
        let (key, trusted) = key();
        let checkpoint = serde_json::to_value(sample::checkpoint()).unwrap();
        let kind = |change: &dyn Fn(&mut Statement<serde_json::Value>)| {
            let mut statement = Statement {
                kind: TYPE.to_owned(),
                subject: subjects(&sample::checkpoint()),
                predicate_type: PREDICATE_TYPE.to_owned(),
                predicate: checkpoint.clone(),
            };
            change(&mut statement);
            let envelope = dsse::sign(&serde_json::to_vec(&statement).unwrap(), &key).unwrap();
            open("evidence", &envelope, &trusted).map(drop).map_err(|e| e.kind())
        };
        assert_eq!(kind(&|_| {}), Ok(()));
        assert_eq!(kind(&|s| s.predicate_type += "x"), Err(Kind::Integrity));
        assert_eq!(kind(&|s| s.kind += "x"), Err(Kind::Integrity));
        assert_eq!(kind(&|s| drop(s.subject.pop())), Err(Kind::Integrity));
        assert_eq!(kind(&|s| s.predicate["format"] = 2.into()), Err(Kind::Repository));
        assert_eq!(kind(&|s| s.predicate["later"] = 2.into()), Ok(()), "unknown fields are ignored");
        assert_eq!(kind(&|s| s.predicate["gates"] = serde_json::Value::Null), Err(Kind::Integrity));
    }
}

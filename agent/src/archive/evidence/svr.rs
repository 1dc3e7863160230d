//! The Simple Verification Result beside a checkpoint (in-toto SVR v0.1): one property for each gate that
//! passed, so that a policy engine can ask for it without knowing our predicate. A gate that was overridden,
//! failed, is unknown or not required is absent.

use serde::{Deserialize, Serialize};

use super::dsse;
use super::gate::Outcome;
use super::key::{EvidenceKey, TrustedEvidenceKeys};
use super::predicate::Checkpoint;
use super::statement::{Statement, TYPE, subjects};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};

/// The type of the predicate.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/svr/v0.1";
/// Who verified: it changes when a gate's meaning does.
pub const VERIFIER: &str = "https://lifeboat-backup.org/checkpoint/v1";

/// The predicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Svr {
    /// Who verified.
    pub verifier: Verifier,
    /// When.
    pub time_created: Timestamp,
    /// What was verified: `LIFEBOAT_` and the word of a gate in capitals.
    pub properties: Vec<String>,
}

/// Who verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// [`VERIFIER`].
    pub id: String,
}

/// The Statement of a checkpoint's result.
pub fn statement(checkpoint: &Checkpoint) -> Statement<Svr> {
    let passed = checkpoint
        .gates
        .iter()
        .filter(|one| one.outcome == Outcome::Passed && one.overridden.is_none())
        .map(|one| format!("LIFEBOAT_{}", one.gate.as_str().to_ascii_uppercase()));
    Statement {
        kind: TYPE.to_owned(),
        subject: subjects(checkpoint),
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: Svr {
            verifier: Verifier { id: VERIFIER.to_owned() },
            time_created: checkpoint.ended,
            properties: passed.collect(),
        },
    }
}

/// The signed envelope, as it is stored.
///
/// # Errors
/// Those of [`dsse::sign`].
pub fn sign(checkpoint: &Checkpoint, key: &EvidenceKey) -> Result<Vec<u8>> {
    let payload = serde_json::to_vec(&statement(checkpoint))
        .map_err(|e| Error::new(Kind::Internal, "cannot write a Statement").because(e))?;
    dsse::sign(&payload, key)
}

/// Verifies the envelope and that it says what `checkpoint` gives. `name` is what it is called in errors.
///
/// # Errors
/// `Signature` where no trusted key signed it; `Integrity` where it says something else.
pub fn check(
    name: &str,
    envelope: &[u8],
    checkpoint: &Checkpoint,
    trusted: &TrustedEvidenceKeys,
) -> Result<()> {
    let opened = dsse::open(name, envelope, trusted)?;
    let read: Option<Statement<Svr>> = serde_json::from_slice(&opened.payload).ok();
    match read.as_ref() == Some(&statement(checkpoint)) {
        true => Ok(()),
        false => Err(Error::new(Kind::Integrity, format!("{name} is not the result of this checkpoint"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::gate::Gate;
    use crate::archive::evidence::sample;

    #[test]
    fn only_a_gate_that_passed_is_there() {
        let properties = |checkpoint: &Checkpoint| statement(checkpoint).predicate.properties;
        let mut checkpoint = sample::checkpoint();
        assert_eq!(
            properties(&checkpoint).join(" "),
            "LIFEBOAT_CHAIN LIFEBOAT_WAL LIFEBOAT_FILESTORE LIFEBOAT_DRILL LIFEBOAT_REGION \
             LIFEBOAT_APPROVAL LIFEBOAT_MIGRATION LIFEBOAT_AGENT LIFEBOAT_REHEARSAL",
            "base is overridden, freeze is not required"
        );
        for outcome in [Outcome::Failed, Outcome::Unknown, Outcome::NotRequired] {
            checkpoint.gates[0].outcome = outcome;
            assert!(!properties(&checkpoint).contains(&"LIFEBOAT_CHAIN".to_owned()), "{outcome:?}");
        }
        checkpoint.gates.iter_mut().for_each(|gate| gate.outcome = Outcome::Passed);
        assert_eq!(properties(&checkpoint).len(), Gate::ALL.len() - 1, "an override is never a pass");
    }

    #[test]
    fn it_has_the_form_of_the_specification_and_belongs_to_its_checkpoint() {
        let key = EvidenceKey::generate().unwrap();
        let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
        let checkpoint = sample::checkpoint();
        let value = serde_json::to_value(statement(&checkpoint)).unwrap();
        assert_eq!(value["predicate"]["verifier"]["id"], VERIFIER);
        assert_eq!(value["predicate"]["timeCreated"], "2026-11-29T01:58:14.25Z");
        assert_eq!(value["subject"], serde_json::to_value(subjects(&checkpoint)).unwrap());
        let envelope = sign(&checkpoint, &key).unwrap();
        check("svr.json", &envelope, &checkpoint, &trusted).unwrap();
        let mut other = checkpoint.clone();
        other.gates[0].outcome = Outcome::Failed;
        let error = check("svr.json", &envelope, &other, &trusted).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        let stranger = sign(&checkpoint, &EvidenceKey::generate().unwrap()).unwrap();
        let error = check("svr.json", &stranger, &checkpoint, &trusted).unwrap_err();
        assert_eq!(error.kind(), Kind::Signature);
    }
}

//! Evidence as a person reads it, and as JSON.

use serde_json::{Value, json};

use crate::archive::evidence::gate::GateResult;
use crate::archive::evidence::predicate::Level;
use crate::archive::evidence::statement::Evidence;
use crate::archive::evidence::verdict::Verdict;
use crate::cli::screen::{Text, Tone};
use crate::clock::{self, Timestamp};
use crate::names::counted;

/// Where the values begin.
const VALUE: usize = 14;

/// For people. `stored_at` is known only of what was read from a repository.
pub fn text(evidence: &Evidence, stored_at: Option<Timestamp>) -> Text {
    let checkpoint = &evidence.checkpoint;
    let (release, card) = (&checkpoint.release, &checkpoint.scorecard);
    let tone = match checkpoint.verdict() {
        Verdict::Passed => Tone::Plain,
        Verdict::Overridden => Tone::Warning,
        Verdict::Blocked => Tone::Bad,
    };
    let mut text = Text::default();
    let mut line = |name: &str, tone: Tone, value: String| {
        text.line(VALUE).plain(format!("{name:<VALUE$}")).push(tone, value);
    };
    line("verdict", tone, checkpoint.verdict_sentence());
    line("release", Tone::Plain, release.id.to_string());
    let instance = format!("{} of repository {}", checkpoint.origin.instance, checkpoint.origin.repository);
    line("instance", Tone::Plain, instance);
    line("image", Tone::Plain, release.image.clone().unwrap_or_else(|| "not named".to_owned()));
    line("commit", Tone::Plain, release.commit.clone().unwrap_or_else(|| "not named".to_owned()));
    let stored = stored_at.map_or(String::new(), |at| format!(", stored at {}", clock::text(at)));
    line("decided", Tone::Plain, format!("{}{stored}", clock::text(checkpoint.ended)));
    if let Some(point) = &checkpoint.point {
        line("point", Tone::Plain, format!("{} ({}, timeline {})", point.name, point.lsn, point.timeline));
    }
    line(
        "scorecard",
        Tone::Plain,
        format!(
            "readiness {} %, risk {}, confidence of rollback {}, {} affected",
            card.readiness,
            level(card.risk),
            level(card.rollback_confidence),
            counted(card.tenants_affected, "tenant")
        ),
    );
    for gate in &checkpoint.gates {
        let (tone, value) = told(gate);
        line(gate.gate.as_str(), tone, value);
    }
    line("signed by", Tone::Plain, evidence.keyid.clone());
    line("SHA-256", Tone::Plain, evidence.sha256.to_string());
    text
}

/// What became of a gate, with who overrode it.
fn told(gate: &GateResult) -> (Tone, String) {
    let word = serde_json::to_value(gate.outcome).ok();
    let word = word.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    match &gate.overridden {
        Some(by) => {
            (Tone::Warning, format!("{word}, overridden by {} ({}): {}", by.by, by.reason, gate.found))
        }
        None if gate.blocks() => (Tone::Bad, format!("{}: {}", word.to_uppercase(), gate.found)),
        None => (Tone::Plain, format!("{word}: {}", gate.found)),
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::Medium => "medium",
        Level::High => "high",
    }
}

/// For programs: the verdict, and the whole predicate.
pub fn value(evidence: &Evidence, stored_at: Option<Timestamp>) -> Value {
    let checkpoint = &evidence.checkpoint;
    json!({
        "verdict": checkpoint.verdict().as_str(),
        "verdict_sentence": checkpoint.verdict_sentence(),
        "release": checkpoint.release.id,
        "blocked_by": checkpoint.blocking().map(|gate| gate.gate).collect::<Vec<_>>(),
        "overridden": checkpoint.overridden().map(|gate| gate.gate).collect::<Vec<_>>(),
        "signed_by": evidence.keyid,
        "sha256": evidence.sha256,
        "stored_at": stored_at,
        "checkpoint": checkpoint,
    })
}

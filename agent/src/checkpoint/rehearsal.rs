//! The rehearsal of a checkpoint: one tenant is restored to the point that was just made, and checked, before
//! the checkpoint says yes. The program `restore-drill` does it ([`super::drill_program`]).
//!
//! Nothing passes because it could not be looked up: a drill program that is missing, dies or prints nonsense
//! is unknown, and blocks.

use std::path::Path;
use std::time::Duration;

use super::RehearsalAsked;
use super::drill_program::{self, Ended, Order};
use super::gates::{self, AskedOverride, Finding};
use super::point::MadePoint;
use super::rehearsal_asked::at_once;
use super::tenant::TenantLook;
use super::work::Work;
use crate::archive::evidence::gate::{Gate, GateResult};
use crate::archive::evidence::predicate::{ChangeWhen, Rehearsal, TenantState};
use crate::archive::rehearsal::{Rehearsed, Source};
use crate::clock::{self, span_text};
use crate::config::Tier;
use crate::disk;
use crate::error::{Kind, Result};
use crate::names::{TenantName, bytes_text, counted};

/// Reasons that the gate names.
const REASONS_MAX: usize = 5;

/// What came of it: the gate, and what the evidence says where the tenant was restored.
pub(super) type Came = (Finding, Option<Rehearsal>);

impl Work<'_> {
    /// Rehearses, if that was asked for and nothing else blocks the release: `findings` are those of all
    /// other gates.
    ///
    /// # Errors
    /// `Usage` for an override that cannot be; `Interrupted`.
    pub(super) async fn rehearsal(
        &self,
        (states, looks): (&[TenantState], &[TenantLook]),
        made: Option<&MadePoint>,
        findings: &[(Gate, Finding)],
        tier: (&str, &Tier),
    ) -> Result<Came> {
        let Some(asked) = &self.request.rehearse else { return Ok((at_once(self.config, None), None)) };
        let program = match drill_program::find(self.config) {
            Ok(program) => program,
            Err(e) => return Ok((Finding::unknown(e.line()), None)),
        };
        let Some((state, why)) = choose(states, asked.tenant.as_ref()) else {
            return Ok((Finding::unknown("the checkpoint covers no tenant that could be restored"), None));
        };
        let tenant = &state.tenant;
        let Some(look) = looks.iter().find(|look| look.tenant == *tenant) else {
            return Ok((Finding::unknown(format!("the counters of {tenant} were not read")), None));
        };
        if self.request.dry_run {
            let what = format!("a dry run restores nothing; the checkpoint would restore {tenant} ({why})");
            return Ok((Finding::not_required(what), None));
        }
        if let Some(reason) = self.no_point {
            return Ok((Finding::not_required(reason), None));
        }
        let blocking = blocking(findings, tier, &self.request.overrides)?;
        if !blocking.is_empty() {
            let what = format!("not run, because another gate blocks: {}", blocking.join(", "));
            return Ok((Finding::unknown(what), None));
        }
        let source = match (made, &state.dump) {
            (Some(made), _) => Source::Point { lsn: made.lsn, timeline: made.timeline },
            (None, Some(dump)) => Source::Dump { snapshot: dump.id.clone() },
            (None, None) => {
                return Ok((
                    Finding::failed(format!("there is neither a point nor a dump to restore {tenant} from")),
                    None,
                ));
            }
        };
        self.run_rehearsal((asked, &program), (tenant, why), look, &source).await
    }

    /// Lets the program restore and check, and judges what it says.
    async fn run_rehearsal(
        &self,
        (asked, program): (&RehearsalAsked, &Path),
        (tenant, why): (&TenantName, &str),
        look: &TenantLook,
        source: &Source,
    ) -> Result<Came> {
        self.progress.stage(format!("rehearsing the restore of {tenant}"));
        let begun = clock::instant();
        let counters = self.state.scratch_file("rehearsal-counters")?;
        disk::write_new_durable(&counters, &look.counters.1)?;
        let order = Order {
            config: self.config,
            program,
            identity_files: &asked.identity_files,
            tenant,
            source,
            counters: &counters,
        };
        let ended = drill_program::rehearse(&order, self.until, &self.progress, &self.cancel).await;
        disk::remove_file(&counters)?;
        match ended {
            Ok(ended) => Ok(judge(&ended, (tenant, why), source, begun.elapsed())),
            Err(e) if e.kind() == Kind::Interrupted => Err(e),
            Err(e) => Ok((Finding::unknown(e.line()), None)),
        }
    }
}

/// The gates that block already.
fn blocking(
    findings: &[(Gate, Finding)],
    tier: (&str, &Tier),
    overrides: &[AskedOverride],
) -> Result<Vec<String>> {
    let results = gates::results(findings.to_vec(), tier, overrides)?;
    let blocks = results.iter().filter(|result| GateResult::blocks(result));
    Ok(blocks.map(|result| result.gate.to_string()).collect())
}

/// The tenant: the named one; else of those whose modules the release changes, or of all, the one with the
/// smallest database. Also says why.
fn choose<'a>(
    states: &'a [TenantState],
    named: Option<&TenantName>,
) -> Option<(&'a TenantState, &'static str)> {
    if let Some(named) = named {
        return Some((states.iter().find(|state| state.tenant == *named)?, "as named"));
    }
    let migrates = |state: &&TenantState| {
        state.module_changes.iter().any(|change| change.when == ChangeWhen::WithRelease)
    };
    let size = |state: &&TenantState| (state.database_bytes, state.tenant.clone());
    if let Some(state) = states.iter().filter(migrates).min_by_key(size) {
        return Some((state, "the smallest tenant whose modules the release changes"));
    }
    Some((states.iter().min_by_key(size)?, "the smallest tenant"))
}

/// What the end of the program says.
fn judge(ended: &Ended, (tenant, why): (&TenantName, &str), source: &Source, took: Duration) -> Came {
    if ended.too_late {
        let what = format!(
            "the restore of {tenant} was stopped after {}: the time of the checkpoint was over; give it more \
             time (--timeout, checkpoint.timeout)",
            span_text(took)
        );
        return (Finding::unknown(what), None);
    }
    let unknown = |what: String| (Finding::unknown(format!("{what}: {}", ended.last_words)), None);
    let read = match Rehearsed::from_json(&ended.printed) {
        Ok(read) => read,
        Err(e) if ended.code == Some(0) => return unknown(e.line()),
        Err(_) => return unknown(format!("restore-drill ended with {}", ended.how)),
    };
    if read.tenant != *tenant || read.source != *source {
        return unknown("restore-drill restored another tenant or point than it was asked to".to_owned());
    }
    let reasons = || {
        let more = read.reasons.len().saturating_sub(REASONS_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let first: Vec<&str> = read.reasons.iter().take(REASONS_MAX).map(String::as_str).collect();
        format!("{tenant} ({why}): {}{more}", first.join("; "))
    };
    let finding = match (ended.code, read.verdict.as_str()) {
        (Some(0), "passed") => Finding::passed(format!(
            "{tenant} ({why}) was restored in {} ({}, {} of files) and passed {} in {}",
            seconds_text(read.restore_seconds),
            bytes_text(read.database_bytes),
            bytes_text(read.file_bytes),
            counted(read.checks, "check"),
            seconds_text(read.check_seconds),
        )),
        (Some(1), "failed") | (Some(3), "missed-objective") => Finding::failed(reasons()),
        (Some(4), "could-not-run") => return (Finding::unknown(reasons()), None),
        (_, verdict) => {
            return unknown(format!("restore-drill says {verdict}, but it ended with {}", ended.how));
        }
    };
    let rehearsal = read.restore_seconds.map(|restore_seconds| Rehearsal {
        tenant: read.tenant,
        database_bytes: read.database_bytes,
        file_bytes: read.file_bytes,
        restore_seconds,
        check_seconds: read.check_seconds.unwrap_or(0.0),
        verdict: read.verdict,
        checks: read.checks,
        failed: read.failed,
    });
    (finding, rehearsal)
}

fn seconds_text(seconds: Option<f64>) -> String {
    let text = |seconds| span_text(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    seconds.map_or_else(|| "an unknown time".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::gate::Outcome;
    use crate::archive::evidence::sample;
    use crate::archive::rehearsal::{SCHEMA, SCHEMA_VERSION};
    use crate::names::Lsn;

    const SOURCE: Source = Source::Point { lsn: Lsn(16), timeline: 1 };

    fn shop() -> TenantName {
        "shop".parse().unwrap()
    }

    fn said(verdict: &str) -> Rehearsed {
        Rehearsed {
            schema: SCHEMA.into(),
            schema_version: SCHEMA_VERSION,
            tenant: shop(),
            source: SOURCE,
            verdict: verdict.into(),
            reasons: if verdict == "passed" { Vec::new() } else { vec!["check ACC01: 2 violations".into()] },
            restore_seconds: Some(12.5),
            check_seconds: Some(2.0),
            checks: 71,
            failed: if verdict == "failed" { vec!["ACC01".into()] } else { Vec::new() },
            database_bytes: 1 << 20,
            file_bytes: 2 << 20,
        }
    }

    fn judged(code: Option<i32>, printed: &str) -> Came {
        let ended = Ended {
            code,
            how: code.map_or_else(|| "signal 9".to_owned(), |code| format!("exit code {code}")),
            too_late: false,
            printed: printed.to_owned(),
            last_words: "the last words".into(),
        };
        judge(&ended, (&shop(), "the smallest tenant"), &SOURCE, Duration::from_secs(1))
    }

    fn of(code: i32, said: Rehearsed) -> Came {
        judged(Some(code), &said.to_json().unwrap())
    }

    #[test]
    fn only_a_program_that_says_and_shows_that_it_passed_lets_it_pass() {
        let (finding, rehearsal) = of(0, said("passed"));
        let text = "shop (the smallest tenant) was restored in 12 s (1.0 MiB, 2.0 MiB of files) and passed 71 checks in 2 s";
        assert_eq!(finding, Finding::passed(text));
        assert_eq!(rehearsal.unwrap().restore_seconds, 12.5);

        let (finding, rehearsal) = of(1, said("failed"));
        assert_eq!((finding.outcome, rehearsal.unwrap().failed), (Outcome::Failed, vec!["ACC01".to_owned()]));
        assert!(finding.found.contains("check ACC01: 2 violations"), "{}", finding.found);
        assert_eq!(of(3, said("missed-objective")).0.outcome, Outcome::Failed);
        assert_eq!(of(4, said("could-not-run")).0.outcome, Outcome::Unknown);

        for (code, printed) in [
            (Some(0), String::new()),
            (Some(0), "nonsense".into()),
            (Some(0), said("failed").to_json().unwrap()),
            (Some(1), said("passed").to_json().unwrap()),
            (Some(4), said("passed").to_json().unwrap()),
            (Some(0), said("splendid").to_json().unwrap()),
            (None, said("passed").to_json().unwrap()),
            (Some(2), String::new()),
            (None, String::new()),
            (Some(0), Rehearsed { tenant: "depot".parse().unwrap(), ..said("passed") }.to_json().unwrap()),
            (
                Some(0),
                Rehearsed { source: Source::Point { lsn: Lsn(16), timeline: 2 }, ..said("passed") }
                    .to_json()
                    .unwrap(),
            ),
        ] {
            let (finding, rehearsal) = judged(code, &printed);
            assert_eq!((finding.outcome, rehearsal), (Outcome::Unknown, None), "{code:?} {printed}");
            assert!(finding.found.contains("the last words"), "{}", finding.found);
        }
    }

    #[test]
    fn the_smallest_tenant_that_the_release_changes_is_taken() {
        let mut states = sample::checkpoint().tenants;
        states
            .iter_mut()
            .for_each(|state| state.module_changes.retain(|c| c.when != ChangeWhen::WithRelease));
        let small = states.iter().min_by_key(|state| state.database_bytes).unwrap().tenant.clone();
        assert_eq!(
            choose(&states, None).map(|(state, why)| (&state.tenant, why)),
            Some((&small, "the smallest tenant"))
        );
        let large = states.iter_mut().max_by_key(|state| state.database_bytes).unwrap();
        large.module_changes.push(crate::archive::evidence::predicate::ModuleChange {
            name: "sale".into(),
            from: None,
            to: None,
            when: ChangeWhen::WithRelease,
        });
        let large = large.tenant.clone();
        assert_ne!(large, small);
        assert_eq!(choose(&states, None).map(|(state, _)| &state.tenant), Some(&large));
        assert_eq!(choose(&states, Some(&small)).map(|(state, _)| &state.tenant), Some(&small));
        assert!(choose(&states, Some(&shop())).is_none() && choose(&[], None).is_none());
    }
}

//! What can be said of a rehearsal that a call asks for before anything is made, and of a record that exists.

use super::RehearsalAsked;
use super::drill_program;
use super::gates::Finding;
use crate::archive::evidence::gate::{Gate, Outcome};
use crate::archive::evidence::predicate::{Checkpoint, Scope};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;

/// What is known of its gate at once: it was not asked for, or there is no program for it.
pub(super) fn at_once(config: &Config, asked: Option<&RehearsalAsked>) -> Finding {
    match asked.map(|_| drill_program::find(config)) {
        None => Finding::not_required("--rehearse was not given"),
        Some(Ok(_)) => Finding::not_required("it comes last"),
        Some(Err(e)) => Finding::unknown(e.line()),
    }
}

/// Whether a tenant may be rehearsed by this checkpoint.
///
/// # Errors
/// `Usage` where the named one is not covered.
pub(super) fn check_scope(asked: Option<&RehearsalAsked>, scope: &Scope) -> Result<()> {
    let outside = |tenant: &&TenantName| !scope.tenants.contains(tenant);
    match asked.and_then(|asked| asked.tenant.as_ref()).filter(outside) {
        None => Ok(()),
        Some(tenant) => {
            let what = format!("--rehearse names {tenant}, which this checkpoint does not cover");
            Err(Error::new(Kind::Usage, what)
                .effect("nothing was made or stored")
                .next("name a tenant that it covers, or give --rehearse without a name"))
        }
    }
}

/// Whether the record that a release has answers a call that asks for a rehearsal.
///
/// # Errors
/// `Refused` where nothing was rehearsed then, or another tenant than this call names.
pub(super) fn check_record(asked: &RehearsalAsked, record: &Checkpoint) -> Result<()> {
    let release = &record.release.id;
    let gate = record.gates.iter().find(|result| result.gate == Gate::Rehearsal);
    let was_asked = gate.is_some_and(|result| result.outcome != Outcome::NotRequired);
    let was = record.rehearsal.as_ref().map(|rehearsal| &rehearsal.tenant);
    let what = match (was_asked, &asked.tenant, was) {
        (false, ..) => format!("release {release} has a checkpoint without a rehearsal"),
        (true, Some(tenant), Some(was)) if tenant != was => {
            format!("the checkpoint of release {release} rehearsed {was}, not {tenant}")
        }
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Refused, what)
        .because("evidence is never changed, so no rehearsal can be added to it")
        .effect("the release is blocked: the rehearsal that this call asks for was not done")
        .next("use a new release ID, or run it without --rehearse"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::sample;

    #[test]
    fn a_record_without_the_rehearsal_that_is_asked_for_is_no_answer() {
        let asked = |tenant: Option<&str>| RehearsalAsked {
            tenant: tenant.map(|name| name.parse().unwrap()),
            identity_files: Vec::new(),
        };
        let mut record = sample::checkpoint();
        assert!(check_record(&asked(None), &record).is_ok());
        assert!(check_record(&asked(Some("shop_north")), &record).is_ok());
        let other = check_record(&asked(Some("shop_east")), &record).unwrap_err();
        assert!(other.what().contains("rehearsed shop_north, not shop_east"), "{other:?}");
        record.rehearsal = None;
        record
            .gates
            .iter_mut()
            .filter(|gate| gate.gate == Gate::Rehearsal)
            .for_each(|gate| gate.outcome = Outcome::NotRequired);
        assert_eq!(check_record(&asked(None), &record).unwrap_err().kind(), Kind::Refused);
    }
}

//! Checks whether anything in the restored copy could still act outside: the restore neutralized it, and this
//! trusts no word of that.

use lifeboat::error::Result;
use lifeboat::odoo::neutralize::Unknowns;
use lifeboat::odoo::{still_live, unknown};

use crate::drill::stage::Stage;
use crate::place::Room;
use crate::report::Report;
use crate::report::finding::{Finding, State};

/// The part of a drill that looks for what is still live.
pub const NEUTRALIZED: &str = "neutralized";
/// What nobody could judge, named in findings.
const NAMED_MAX: usize = 20;

/// Mail servers, schedules, payments and whatever else acts outside.
pub struct Neutralized<'a> {
    /// Where the tenant is.
    pub room: &'a Room,
}

impl Stage for Neutralized<'_> {
    const NAME: &'static str = "neutralized";
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let mut session = self.room.connect(&self.room.database).await?;
        let live = still_live(&mut session).await?;
        let unknown = unknown(&mut session).await?;
        session.close().await;
        let note = note(live.len(), &unknown);
        report.findings.extend(findings(live, &unknown));
        report.unknown = unknown;
        Ok(((), note))
    }
}

fn note(live: usize, unknown: &Unknowns) -> String {
    let open: u64 = unknown.found.values().sum();
    let open = if open > 0 {
        format!("; {open} things may be live, see \"neutralized\" under \"Not exercised\"")
    } else {
        String::new()
    };
    match live {
        0 => format!("nothing known is live{open}"),
        live => format!("{live} kinds of things are still live{open}"),
    }
}

/// What is live fails the drill. What nobody could judge lowers the coverage: it is named, and a person
/// looks.
fn findings(live: Vec<String>, unknown: &Unknowns) -> Vec<Finding> {
    let mut all: Vec<Finding> =
        live.into_iter().map(|what| Finding::new(NEUTRALIZED, State::Failed, what)).collect();
    let open = unknown.sentences(NAMED_MAX);
    all.extend(open.into_iter().map(|what| Finding::new(NEUTRALIZED, State::NotRun, what)));
    if all.is_empty() {
        all.push(Finding::new(NEUTRALIZED, State::Done, "nothing is live"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_live_fails_and_what_is_unknown_is_named() {
        let states = |live: &[&str], unknown: &Unknowns| -> Vec<State> {
            let live = live.iter().map(|text| (*text).to_owned()).collect();
            findings(live, unknown).iter().map(|finding| finding.state).collect()
        };
        let json = r#"{"found": {"column": 1}, "listed": [{"kind": "column", "name": "shop.api_token",
            "module": "shop", "origin": "other", "rows": 2, "why": "it looks like a credential"}]}"#;
        let open: Unknowns = serde_json::from_str(json).unwrap();
        assert_eq!(states(&[], &Unknowns::default()), [State::Done]);
        assert_eq!(states(&["outgoing mail servers: 1"], &Unknowns::default()), [State::Failed]);
        assert_eq!(states(&[], &open), [State::NotRun]);
        assert!(findings(Vec::new(), &open)[0].what.contains("shop.api_token"));
    }
}

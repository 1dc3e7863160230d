//! Which tenants there are, and which class each has.

use std::collections::BTreeSet;

use super::{Finding, Outcome, Unclassed};
use crate::backup::all_tenants;
use crate::config::{Class, Config, class_of, classes_of};
use crate::names::{TenantName, counted};
use crate::postgres::connect::PostgresOptions;

/// Names that a finding names.
const NAMED_MAX: usize = 5;
/// What to do without the server.
const STORED_ONLY: &str = "pass --stored-only to check only tenants that have backups";

/// Every tenant that is known.
pub struct Whom {
    /// All: those that are backed up, and those of which something is stored.
    known: BTreeSet<TenantName>,
    /// Those that are backed up; `None` if that is not known.
    live: Option<BTreeSet<TenantName>>,
    /// Whether there are no others.
    is_all: bool,
    /// Where they are known from.
    pub findings: Vec<Finding>,
}

impl Whom {
    /// The tenants that are backed up are those of `odoo.tenants`, else those that the server has. `was_read`
    /// says whether `stored` is what is stored, or nothing is known of that.
    pub async fn find(
        config: &Config,
        stored: BTreeSet<TenantName>,
        (stored_only, was_read): (bool, bool),
    ) -> Whom {
        let told = |live: &BTreeSet<TenantName>, from: &str| {
            let text = format!("{} {from}", counted(live.len() as u64, "tenant"));
            Finding::new("tenants", Outcome::Ok, text)
        };
        if !config.odoo.tenants.is_empty() {
            let live: BTreeSet<TenantName> = config.odoo.tenants.iter().cloned().collect();
            let findings = vec![told(&live, "in odoo.tenants")];
            return Whom { known: &stored | &live, live: Some(live), is_all: true, findings };
        }
        if stored_only {
            let findings = vec![told(&stored, "in the repository; the server was not asked for others")];
            return Whom { known: stored, live: None, is_all: was_read, findings };
        }
        match all_tenants(config, &PostgresOptions::from(&config.postgres)).await {
            Ok(live) => {
                let live: BTreeSet<TenantName> = live.into_iter().collect();
                let findings = vec![told(&live, "on the server")];
                Whom { known: &stored | &live, live: Some(live), is_all: true, findings }
            }
            Err(e) => {
                let what = "it is not known which tenants the server has";
                let finding = Finding::unknown("tenants", what, &e);
                let next = match &finding.next {
                    Some(next) => format!("{next}; or {STORED_ONLY}"),
                    None => STORED_ONLY.to_owned(),
                };
                let finding = finding.next(next);
                Whom { known: stored, live: None, is_all: false, findings: vec![finding] }
            }
        }
    }

    /// The tenants that do not have exactly one class, by name.
    pub fn unclassed(&self, config: &Config) -> Vec<Unclassed> {
        let one = |tenant: &TenantName| {
            let e = class_of(&config.classes, tenant).err()?;
            let classes = classes_of(&config.classes, tenant);
            Some(Unclassed {
                tenant: tenant.clone(),
                classes: classes.iter().map(|(name, _)| (*name).to_owned()).collect(),
                text: e.what().to_owned(),
                next: e.next_text().map(str::to_owned),
            })
        };
        self.known.iter().filter_map(one).collect()
    }

    /// The tenants whose class is this one, and those of them that are not backed up any more.
    pub fn of(&self, config: &Config, class: &str) -> (Vec<TenantName>, Vec<TenantName>) {
        let is_of =
            |tenant: &&TenantName| class_of(&config.classes, tenant).is_ok_and(|(found, _)| found == class);
        let tenants: Vec<TenantName> = self.known.iter().filter(is_of).cloned().collect();
        let is_gone = |tenant: &&TenantName| self.live.as_ref().is_some_and(|live| !live.contains(*tenant));
        let dropped = tenants.iter().filter(is_gone).cloned().collect();
        (tenants, dropped)
    }
}

/// What is odd about the names and patterns of a class.
pub fn patterns(class: &Class, whom: &Whom) -> Vec<Finding> {
    let note = |text: String| Finding::new("tenants", Outcome::Note, text);
    if class.tenants.is_empty() {
        return vec![note("tenants is empty: the class covers nobody".to_owned())];
    }
    let (mut unused, mut notes) = (Vec::new(), Vec::new());
    for pattern in &class.tenants {
        if whom.known.iter().any(|tenant| pattern.covers(tenant)) {
            continue;
        }
        let written = pattern.as_str();
        let same_letters = |tenant: &&TenantName| tenant.as_str().eq_ignore_ascii_case(written);
        match whom.known.iter().find(same_letters) {
            Some(meant) => {
                let text = format!("{written:?} is no tenant, but {meant} is: upper and lower case differ");
                notes.push(note(text).next(format!("correct {}", class.tenants_at)));
            }
            None => unused.push(format!("{written:?}")),
        }
    }
    if !unused.is_empty() && whom.is_all {
        let more = unused.len().saturating_sub(NAMED_MAX);
        unused.truncate(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(note(format!("no tenant is covered by {}{more}", unused.join(", "))));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    fn config(classes: &str) -> Config {
        let text = format!("instance = 'prod'\nrepository.url = '/r'\n{classes}");
        Config::parse("lifeboat.toml".as_ref(), &text, &Inputs::default()).unwrap()
    }

    fn names(text: &str) -> BTreeSet<TenantName> {
        text.split(' ').map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn who_has_no_class_is_named_and_who_is_gone_is_apart() {
        let config = config("[class.a]\ntenants = ['shop_*', 'x']\n[class.b]\ntenants = ['*_old']\n");
        let whom = Whom {
            known: names("shop_1 shop_2 shop_old y x"),
            live: Some(names("shop_1 y x")),
            is_all: true,
            findings: Vec::new(),
        };
        let unclassed = whom.unclassed(&config);
        let told: Vec<_> = unclassed.iter().map(|one| (one.tenant.as_str(), one.classes.join("+"))).collect();
        assert_eq!(told, [("shop_old", "a+b".to_owned()), ("y", String::new())]);
        let (tenants, dropped) = whom.of(&config, "a");
        assert_eq!(tenants, names("shop_1 shop_2 x").into_iter().collect::<Vec<_>>());
        assert_eq!(dropped, names("shop_2").into_iter().collect::<Vec<_>>());
        let unknown = Whom { live: None, ..whom };
        assert!(unknown.of(&config, "a").1.is_empty(), "who is gone is not known");
    }

    #[test]
    fn patterns_that_cover_nobody_are_noted() {
        let config =
            config("[class.a]\ntenants = ['Shop_1', 'shop*', 'books', 'a*']\n[class.b]\ntenants = []\n");
        let all = Whom { known: names("shop_1"), live: None, is_all: true, findings: Vec::new() };
        let told = |whom: &Whom, class: &str| -> Vec<String> {
            patterns(&config.classes[class], whom).into_iter().map(|one| one.text).collect()
        };
        assert_eq!(
            told(&all, "a"),
            [
                "\"Shop_1\" is no tenant, but shop_1 is: upper and lower case differ",
                "no tenant is covered by \"books\", \"a*\""
            ]
        );
        assert_eq!(told(&all, "b"), ["tenants is empty: the class covers nobody"]);
        let some = Whom { is_all: false, ..all };
        assert_eq!(told(&some, "a").len(), 1, "who is not known may be covered");
    }
}

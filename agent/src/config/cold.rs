//! `[cold.yearly]`: another storage class of the store for what is kept as the first of a period.

use std::collections::BTreeMap;
use std::time::Duration;

use super::period::Period;
use super::read::Reader;
use super::{Class, Prices};
use crate::error::Result;

/// Classes of Amazon and Azure whose objects must be requested first.
const NOT_ONLINE: [&str; 3] = ["GLACIER", "DEEP_ARCHIVE", "Archive"];

/// Where dumps go that are the first of a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Cold {
    /// The store's name of the class.
    pub storage_class: String,
    /// How long it takes until such an object can be read.
    pub ready_after: Duration,
    /// What it costs there.
    pub prices: Prices,
}

/// By period.
pub type ColdPeriods = BTreeMap<Period, Cold>;

/// The classes; `others` are the prices of what is not set.
pub(super) fn build(
    read: &Reader<'_>,
    others: &Prices,
    repository: &str,
    classes: &BTreeMap<String, Class>,
) -> Result<ColdPeriods> {
    let mut all = ColdPeriods::new();
    for (name, own) in read.named("cold") {
        let Some(period) = Period::ALL.into_iter().find(|period| period.word() == name) else {
            let words = Period::ALL.map(Period::word).join(", ");
            return Err(
                own.refused("cold.*.storage_class", &format!("write [cold.NAME] with one of {words}"))
            );
        };
        let Some(storage_class) = own.text("cold.*.storage_class")? else {
            return Err(own.refused("cold.*.storage_class", "it is required, such as \"GLACIER_IR\""));
        };
        if !is_a_class(&storage_class) {
            return Err(
                own.refused("cold.*.storage_class", "it takes the name of a storage class of the store")
            );
        }
        if repository.starts_with('/') || repository.starts_with("file:") {
            return Err(own.refused("cold.*.storage_class", "a directory has no storage classes"));
        }
        if !classes.values().any(|class| class.count(period) > 0) {
            return Err(own.refused("cold.*.storage_class", &format!("no recovery class has {name} backups")));
        }
        let prices = Prices {
            gb_month: own.decimal("cold.*.gb_month")?.or(others.gb_month),
            retrieval_gb: own.decimal("cold.*.retrieval_gb")?.or(others.retrieval_gb),
            minimum_days: own.integer("cold.*.minimum_days")? as u32,
        };
        let ready_after = own.duration("cold.*.ready_after")?;
        if ready_after.is_zero() && NOT_ONLINE.contains(&storage_class.as_str()) {
            let why =
                "its objects must be requested before they can be read: set ready_after, such as \"12h\"";
            return Err(own.refused("cold.*.storage_class", why));
        }
        all.insert(period, Cold { storage_class, ready_after, prices });
    }
    Ok(all)
}

/// As the stores write them: `GLACIER_IR`, `Cool`, `NEARLINE`.
fn is_a_class(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Inputs};
    use super::*;

    fn parse(url: &str, text: &str) -> Result<Config> {
        let text = format!(
            "instance = \"prod\"\nrepository.url = \"{url}\"\n[rates]\ngb_month = \"0.023\"\nretrieval_gb = \"0.09\"\n\
             [class.a]\ntenants = [\"*\"]\nyearly = 10\n{text}"
        );
        Config::parse("/etc/lifeboat.toml".as_ref(), &text, &Inputs::default())
    }

    #[test]
    fn what_is_not_set_costs_what_the_rest_costs() {
        let text = "[cold.yearly]\nstorage_class = \"GLACIER_IR\"\ngb_month = \"0.004\"\nminimum_days = 90\n";
        let config = parse("s3://b/r", text).unwrap();
        let prices = Prices { gb_month: Some(0.004), retrieval_gb: Some(0.09), minimum_days: 90 };
        let ready_after = Duration::ZERO;
        assert_eq!(
            config.cold[&Period::Year],
            Cold { storage_class: "GLACIER_IR".into(), ready_after, prices }
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_line_and_key() {
        for (url, text, why) in [
            (
                "s3://b/r",
                "[cold.often]\nstorage_class = \"X\"\n",
                "one of hourly, daily, weekly, monthly, yearly",
            ),
            ("s3://b/r", "[cold.yearly]\nready_after = \"12h\"\n", "it is required"),
            ("s3://b/r", "[cold.yearly]\nstorage_class = \"A B\"\n", "name of a storage class"),
            ("s3://b/r", "[cold.yearly]\nstorage_class = \"DEEP_ARCHIVE\"\n", "set ready_after"),
            ("s3://b/r", "[cold.hourly]\nstorage_class = \"X\"\n", "no recovery class has hourly backups"),
            ("/srv/r", "[cold.yearly]\nstorage_class = \"X\"\n", "a directory has no storage classes"),
        ] {
            let refused = parse(url, text).unwrap_err();
            let said = refused.what();
            assert!(said.contains(why) && said.starts_with("/etc/lifeboat.toml:1"), "{text}: {said}");
        }
    }
}

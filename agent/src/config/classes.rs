//! Recovery classes: which tenants each one covers, and what it promises them.
//!
//! A tenant has exactly one class. An exact name beats a pattern, and a pattern beats `*` alone, which means
//! the rest. Whether each tenant has one is not known here: tenants are found on the server and in the
//! repository. `lifeboat policy check` says it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::given::wrong_so;
use super::period::Period;
use super::public_keys::recipient;
use super::read::{Reader, schedule_line};
use crate::crontab::{self, Schedule};
use crate::error::{Error, Result};
use crate::names::TenantName;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The examples of the template and of docs/retention.md; a test reads them.
pub const EXAMPLES: &str = "\
[class.critical]
tenants = [\"acme_prod\", \"retail_*\"]
rpo = \"1min\"
rto = \"1h\"
base = \"0 */6 * * *\"
window = \"14d\"
daily = 14
weekly = 8
monthly = 12
yearly = 10
releases = \"365d\"
drill_every = \"7d\"

[class.standard]
tenants = [\"*\"]
rpo = \"26h\"
rto = \"8h\"
window = \"7d\"
daily = 7
weekly = 4
monthly = 12
drill_every = \"7d\"

[class.archive]
tenants = [\"old_*\"]
rpo = \"8d\"
backup = \"0 3 * * 6\"
window = \"0s\"
daily = 0
weekly = 4
monthly = 24
yearly = 10
dropped = \"3650d\"
";

/// What is promised to the tenants of a class, and kept for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Whom it covers.
    pub tenants: Vec<Pattern>,
    /// Where that is written: file, line and key.
    pub tenants_at: String,
    /// How much may be lost; `None` promises nothing.
    pub rpo: Option<Duration>,
    /// How long a recovery may take; `None` promises nothing.
    pub rto: Option<Duration>,
    /// When these tenants are backed up, instead of `schedule.backup`.
    pub backup: Option<Schedule>,
    /// Base backups of the whole cluster, in addition to `schedule.base`.
    pub base: Option<Schedule>,
    /// Full base backups of the whole cluster, in addition to `schedule.base_full`.
    pub base_full: Option<Schedule>,
    /// Each second of this long until now can be restored.
    pub window: Duration,
    /// For how many hours, the current one included, the first backup of the hour is kept.
    pub hourly: u32,
    /// The same for days.
    pub daily: u32,
    /// The same for weeks, Monday to Sunday.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// How long the checkpoint of a release is kept, with all that a restore to it needs.
    pub releases: Duration,
    /// How long the last good backup is kept when a later one of the tenant is suspicious.
    pub suspicion_hold: Duration,
    /// How long the last state of a tenant is kept whose database no longer exists; `None` is for ever.
    pub dropped: Option<Duration>,
    /// In how many repositories it should be.
    pub copies: u32,
    /// The regions in which these may be; empty allows every region.
    pub regions: Vec<String>,
    /// Public keys that their dumps and files are encrypted to, in addition to those of the instance.
    pub recipients: Vec<String>,
    /// How often a restore of one of these tenants is drilled; `None` promises nothing.
    pub drill_every: Option<Duration>,
}

impl Default for Class {
    /// A class whose section sets only its tenants, to none.
    fn default() -> Class {
        Class {
            tenants: Vec::new(),
            tenants_at: String::new(),
            rpo: None,
            rto: None,
            backup: None,
            base: None,
            base_full: None,
            window: 7 * DAY,
            hourly: 0,
            daily: 7,
            weekly: 4,
            monthly: 12,
            yearly: 0,
            releases: 90 * DAY,
            suspicion_hold: 30 * DAY,
            dropped: None,
            copies: 1,
            regions: Vec::new(),
            recipients: Vec::new(),
            drill_every: None,
        }
    }
}

impl Class {
    /// Whether a name or a pattern of it covers this tenant. Another class may cover it too, and better:
    /// [`class_of`] decides.
    pub fn covers(&self, tenant: &TenantName) -> bool {
        self.rank(tenant).is_some()
    }

    /// Of how many of these periods, the current one included, the first backup is kept.
    pub fn count(&self, period: Period) -> u32 {
        match period {
            Period::Hour => self.hourly,
            Period::Day => self.daily,
            Period::Week => self.weekly,
            Period::Month => self.monthly,
            Period::Year => self.yearly,
        }
    }

    /// How well it covers this tenant.
    fn rank(&self, tenant: &TenantName) -> Option<Rank> {
        self.tenants.iter().filter(|pattern| pattern.covers(tenant)).map(Pattern::rank).max()
    }

    /// Whether it keeps nothing but what is newest.
    fn keeps_nothing(&self) -> bool {
        let counts = [self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        self.window.is_zero() && counts.iter().all(|count| *count == 0)
    }
}

/// From weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// `*` alone.
    Rest,
    Pattern,
    Exact,
}

/// The name of a database, or a pattern of names in which `*` stands for any characters, also for none.
/// Upper and lower case differ, as they do for PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        match text.parse::<TenantName>() {
            Ok(name) => Ok(Pattern(name.into())),
            Err(_) => Err("is neither a database name (1-63 bytes, no slash, no control character) \
                           nor a pattern of such names"
                .to_owned()),
        }
    }
}

impl From<TenantName> for Pattern {
    fn from(name: TenantName) -> Pattern {
        Pattern(name.into())
    }
}

impl Pattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this tenant is meant.
    pub fn covers(&self, tenant: &TenantName) -> bool {
        self.fits(tenant.as_str())
    }

    /// Whether a text is as the pattern says.
    pub fn fits(&self, text: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut name) = text.strip_prefix(head) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let tail = parts.pop().unwrap_or_default();
        for part in parts {
            let Some(at) = name.find(part) else { return false };
            name = &name[at + part.len()..];
        }
        name.ends_with(tail)
    }

    fn rank(&self) -> Rank {
        match &self.0 {
            text if text.bytes().all(|b| b == b'*') => Rank::Rest,
            text if text.contains('*') => Rank::Pattern,
            _ => Rank::Exact,
        }
    }
}

/// The classes that cover a tenant best, by name: one, if the configuration is right; several where equally
/// good patterns overlap; none where nothing covers it.
pub fn classes_of<'c>(
    classes: &'c BTreeMap<String, Class>,
    tenant: &TenantName,
) -> Vec<(&'c str, &'c Class)> {
    let best = classes.values().filter_map(|class| class.rank(tenant)).max();
    let covers = |(_, class): &(&'c String, &'c Class)| best.is_some() && class.rank(tenant) == best;
    classes.iter().filter(covers).map(|(name, class)| (name.as_str(), class)).collect()
}

/// The one class of a tenant, with its name.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) if no class covers it, or two do equally well; running again
/// helps only after a change of the configuration.
pub fn class_of<'c>(
    classes: &'c BTreeMap<String, Class>,
    tenant: &TenantName,
) -> Result<(&'c str, &'c Class)> {
    match classes_of(classes, tenant)[..] {
        [one] => Ok(one),
        ref found => Err(not_one(tenant, found)),
    }
}

/// Why a tenant has not exactly one class.
fn not_one(tenant: &TenantName, found: &[(&str, &Class)]) -> Error {
    if found.is_empty() {
        return wrong_so(
            format!("tenant {tenant} is in no class"),
            "add its name, or a pattern, to `tenants` of a [class.NAME]; [\"*\"] covers the rest",
        );
    }
    let written = |(name, class): &(&str, &Class)| {
        let patterns = class.tenants.iter().filter(|pattern| pattern.covers(tenant));
        let pattern = patterns.max_by_key(|pattern| pattern.rank()).map_or("", Pattern::as_str);
        format!("{name} ({}: {pattern:?})", class.tenants_at)
    };
    let all: Vec<String> = found.iter().map(written).collect();
    wrong_so(
        format!("tenant {tenant} is in {} classes: {}", found.len(), all.join(" and ")),
        "write its exact name into the class that is meant: a name beats a pattern, a pattern beats \"*\"",
    )
}

pub(super) fn build(read: &Reader<'_>) -> Result<BTreeMap<String, Class>> {
    read.named("class").into_iter().map(|(name, own)| Ok((name.to_owned(), class(&own)?))).collect()
}

fn class(own: &Reader<'_>) -> Result<Class> {
    if !own.is_given("class.*.tenants") {
        let why = "it is required: [\"*\"] covers all tenants that no other class covers, [] covers none";
        return Err(own.refused("class.*.tenants", why));
    }
    let zone = crontab::zone(&own.word("schedule.time_zone")?)
        .map_err(|why| own.refused("schedule.time_zone", &why))?;
    let line = |name| schedule_line(own, name, &zone);
    let span = |name| own.is_given(name).then(|| own.duration(name)).transpose();
    let count = |name| own.integer(name).map(|number| number as u32);
    let class = Class {
        tenants: own.list("class.*.tenants", str::parse)?,
        tenants_at: own.place("class.*.tenants"),
        rpo: span("class.*.rpo")?,
        rto: span("class.*.rto")?,
        backup: line("class.*.backup")?,
        base: line("class.*.base")?,
        base_full: line("class.*.base_full")?,
        window: own.duration("class.*.window")?,
        hourly: count("class.*.hourly")?,
        daily: count("class.*.daily")?,
        weekly: count("class.*.weekly")?,
        monthly: count("class.*.monthly")?,
        yearly: count("class.*.yearly")?,
        releases: own.duration("class.*.releases")?,
        suspicion_hold: own.duration("class.*.suspicion_hold")?,
        dropped: span("class.*.dropped")?,
        copies: count("class.*.copies")?,
        regions: own.list("class.*.regions", |text| Ok(text.to_owned()))?,
        recipients: own.list("class.*.recipients", recipient)?,
        drill_every: span("class.*.drill_every")?,
    };
    if class.keeps_nothing() {
        let why = "nothing but the newest state would be kept: set window, or one of hourly, daily, weekly, \
                   monthly and yearly";
        return Err(own.refused("class.*.window", why));
    }
    if class.tenants.is_empty() && class.backup.is_some() {
        return Err(own.refused("class.*.backup", "there is nobody to back up: tenants is empty"));
    }
    Ok(class)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Inputs};
    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<String, Class>> {
        let text = format!("instance = \"prod\"\nrepository.url = \"/r\"\n{text}");
        Ok(Config::parse("/etc/boat/lifeboat.toml".as_ref(), &text, &Inputs::default())?.classes)
    }

    fn refusal(text: &str) -> String {
        parse(text).expect_err("this configuration must be refused").what().to_owned()
    }

    fn name(text: &str) -> TenantName {
        text.parse().unwrap()
    }

    fn of<'c>(classes: &'c BTreeMap<String, Class>, tenant: &str) -> Result<&'c str> {
        class_of(classes, &name(tenant)).map(|(class, _)| class)
    }

    #[test]
    fn a_pattern_covers_what_it_says() {
        let covers = |pattern: &str, tenant: &str| pattern.parse::<Pattern>().unwrap().covers(&name(tenant));
        for (pattern, tenant) in [
            ("shop", "shop"),
            ("*", "shop é 1"),
            ("**", "x"),
            ("shop*", "shop"),
            ("*_prod", "acme_prod"),
            ("*_prod", "_prod"),
            ("a*b*c", "abc"),
            ("a*b*c", "a_b_b_c"),
            ("a*a", "aa"),
            ("*é*", "café 2"),
            ("Shop*", "Shop_1"),
        ] {
            assert!(covers(pattern, tenant), "{pattern} covers {tenant}");
        }
        for (pattern, tenant) in [
            ("shop", "shop2"),
            ("shop*", "myshop"),
            ("*_prod", "acme_prod2"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("shop*", "Shop"),
            ("sho?", "shop"),
        ] {
            assert!(!covers(pattern, tenant), "{pattern} does not cover {tenant}");
        }
        for bad in ["", "a/b", ".", "a\nb", &"x".repeat(64)] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_beats_a_pattern_and_a_pattern_beats_the_rest() {
        let classes = parse(
            "[class.critical]\ntenants = ['retail_north', 'acme_*']\n\
             [class.archive]\ntenants = ['retail_*', 'old_*']\n\
             [class.standard]\ntenants = ['*']\n",
        )
        .unwrap();
        for (tenant, class) in [
            ("retail_north", "critical"),
            ("retail_south", "archive"),
            ("acme_shop", "critical"),
            ("something", "standard"),
            ("Retail_north", "standard"),
        ] {
            assert_eq!(of(&classes, tenant).unwrap(), class, "{tenant}");
        }
        assert!(classes["standard"].covers(&name("retail_north")), "though its class is another");
    }

    #[test]
    fn two_classes_or_none_is_an_error_that_names_them_with_their_lines() {
        let classes = parse(
            "[class.a]\ntenants = ['shop_*', 'x']\n[class.b]\ntenants = ['*_prod']\n[class.c]\ntenants = []\n",
        )
        .unwrap();
        let twice = of(&classes, "shop_prod").unwrap_err();
        assert_eq!(
            twice.what(),
            "tenant shop_prod is in 2 classes: a (/etc/boat/lifeboat.toml:4: class.a.tenants: \"shop_*\") and \
             b (/etc/boat/lifeboat.toml:6: class.b.tenants: \"*_prod\")"
        );
        assert!(twice.next_text().unwrap().contains("exact name"));
        assert_eq!(of(&classes, "books").unwrap_err().what(), "tenant books is in no class");
        let rest = parse("[class.a]\ntenants = ['*']\n[class.b]\ntenants = ['*']\n").unwrap();
        assert!(of(&rest, "books").unwrap_err().what().contains("is in 2 classes: a ("));
        let same = parse("[class.a]\ntenants = ['x', 'x']\n[class.b]\ntenants = ['x']\n").unwrap();
        assert!(of(&same, "x").unwrap_err().what().contains("and b (/etc/boat/lifeboat.toml:6:"));
    }

    #[test]
    fn values_that_are_not_set_are_the_table_s() {
        let classes = parse("[class.x]\ntenants = []\n").unwrap();
        let tenants_at = "/etc/boat/lifeboat.toml:4: class.x.tenants".to_owned();
        assert_eq!(classes["x"], Class { tenants_at, ..Class::default() });
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn the_examples_are_three_classes_that_cover_each_tenant_once() {
        let classes = parse(EXAMPLES).unwrap();
        assert_eq!(classes.keys().collect::<Vec<_>>(), ["archive", "critical", "standard"]);
        for (tenant, class) in
            [("acme_prod", "critical"), ("retail_x", "critical"), ("old_1", "archive"), ("new", "standard")]
        {
            assert_eq!(of(&classes, tenant).unwrap(), class, "{tenant}");
        }
        assert_eq!(classes["critical"].rpo, Some(Duration::from_secs(60)));
        assert_eq!(classes["archive"].backup.as_ref().unwrap().text(), "0 3 * * 6");
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/retention.md");
        assert!(std::fs::read_to_string(page).unwrap().contains(EXAMPLES), "{page} has the same");
    }

    #[test]
    fn a_class_that_cannot_be_meant_is_refused_by_file_line_and_key() {
        let file = "/etc/boat/lifeboat.toml";
        let cases = [
            ("[class.x]\nrpo = '1h'\n", format!("{file}:4: class.x.tenants: it is required")),
            ("[class.x]\n", format!("{file}:3: [class.x] has no keys")),
            (
                "[class.x]\ntenants = ['*']\nwindow = '0s'\ndaily = 0\nweekly = 0\nmonthly = 0\n",
                format!("{file}:5: class.x.window = '0s': nothing but the newest state would be kept"),
            ),
            (
                "[class.x]\ntenants = ['a/b']\n",
                format!("{file}:4: class.x.tenants = ['a/b']: \"a/b\" is neither a database name"),
            ),
            ("[class.x]\ntenants = '*'\n", "it takes a list of database names, or patterns".into()),
            ("[class.x]\ntenants = ['']\n", "it takes a list of database names, or patterns".into()),
            (
                "[class.Critical]\ntenants = ['*']\n",
                format!("{file}:3: [class.Critical]: a name has 1 to 40"),
            ),
            ("[class]\ntenants = ['*']\n", "write [class.NAME] with a name of yours".into()),
            ("[class.x]\ntenants = ['*']\nrpo = 15\n", "class.x.rpo = 15: it takes a duration".into()),
            ("[class.x]\ntenants = ['*']\nrpo = '0s'\n", "it takes a duration from \"1s\"".into()),
            (
                "[class.x]\ntenants = ['*']\nweekly = -1\n",
                "class.x.weekly = -1: it takes a whole number".into(),
            ),
            ("[class.x]\ntenants = ['*']\nretention = '7d'\n", "class.x.retention is not a known key".into()),
            (
                "[class.x]\ntenants = ['*']\nbackup = 'nightly'\n",
                format!("{file}:5: class.x.backup = 'nightly': it is not a crontab line"),
            ),
            ("[class.x]\ntenants = []\nbackup = '0 1 * * *'\n", "there is nobody to back up".into()),
            (
                "[class.x]\ntenants = ['*']\ntenants = ['a']\n",
                format!("{file}:5: this is not TOML: duplicate key"),
            ),
        ];
        for (text, expected) in cases {
            let said = refusal(text);
            assert!(said.contains(&expected), "{text:?}\n said:     {said}\n expected: {expected}");
        }
    }
}

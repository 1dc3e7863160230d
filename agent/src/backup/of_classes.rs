//! Backups of the tenants of some recovery classes.

use crate::config::{Config, classes_of};
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;

/// Which tenants a backup is of, by their classes.
#[derive(Clone, Debug, Default)]
pub enum OfClasses {
    /// All.
    #[default]
    All,
    /// Those of these classes. A tenant that two classes cover equally well is of both.
    Only(Vec<String>),
    /// All but those of these classes. A tenant that one of them and another class cover stays: rather two
    /// backups of it than none.
    AllBut(Vec<String>),
}

impl OfClasses {
    /// Whether a database of this name is meant.
    pub fn include(&self, config: &Config, name: &str) -> bool {
        let found = || {
            let tenant: Option<TenantName> = name.parse().ok();
            tenant.map_or(Vec::new(), |tenant| classes_of(&config.classes, &tenant))
        };
        let in_list = |list: &[String], class: &str| list.iter().any(|one| one == class);
        match self {
            OfClasses::All => true,
            OfClasses::Only(list) => found().iter().any(|(class, _)| in_list(list, class)),
            OfClasses::AllBut(list) => {
                let found = found();
                found.is_empty() || found.iter().any(|(class, _)| !in_list(list, class))
            }
        }
    }

    /// Refuses classes that the configuration does not have.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check(&self, config: &Config) -> Result<()> {
        let (OfClasses::Only(list) | OfClasses::AllBut(list)) = self else { return Ok(()) };
        let Some(unknown) = list.iter().find(|name| !config.classes.contains_key(*name)) else {
            return Ok(());
        };
        let known: Vec<&str> = config.classes.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
        Err(Error::new(Kind::Usage, format!("there is no [class.{unknown}]; known classes: {known}")))
    }

    /// The error of a backup that no tenant is meant by, where it is one: the rest may well be nobody.
    pub(super) fn nobody(&self) -> Result<()> {
        let OfClasses::Only(list) = self else { return Ok(()) };
        let what = format!("no tenant is of class {}", list.join(" or "));
        Err(Error::new(Kind::NotFound, what)
            .effect("nothing was backed up")
            .next("lifeboat policy check shows the class of each tenant; correct class.NAME.tenants"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    #[test]
    fn a_tenant_of_two_classes_is_left_out_by_neither() {
        let text = "instance = 'prod'\nrepository.url = '/r'\n[class.a]\ntenants = ['a_*', 'x']\n\
                    [class.b]\ntenants = ['*_b']\n";
        let config = Config::parse("lifeboat.toml".as_ref(), text, &Inputs::default()).unwrap();
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let only = |names: &[&str], tenant| OfClasses::Only(list(names)).include(&config, tenant);
        let but = |names: &[&str], tenant| OfClasses::AllBut(list(names)).include(&config, tenant);
        assert!(only(&["a"], "x") && !only(&["b"], "x") && !only(&["a", "b"], "nobody"));
        assert!(only(&["a"], "a_b") && only(&["b"], "a_b"), "of both");
        assert!(!but(&["a"], "x") && but(&["b"], "x") && but(&["a", "b"], "nobody"));
        assert!(but(&["a"], "a_b") && !but(&["a", "b"], "a_b"), "both have a run of their own");
        assert!(OfClasses::All.include(&config, "nobody"));
        let unknown = OfClasses::Only(list(&["c"])).check(&config).unwrap_err();
        assert_eq!(unknown.what(), "there is no [class.c]; known classes: a, b");
    }
}

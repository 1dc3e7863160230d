//! Whether going back with the image alone is enough, or the database goes back, and why.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive::evidence::predicate::ModuleVersion;
use crate::odoo::baseline::Versioned;
use crate::release::schema::SchemaChange;

/// The way back, from the least work to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Nothing is to be undone: another database was put in the place of the one of the point, which is kept
    /// under another name, and its tables and module versions are those of the point.
    Nothing,
    /// Tables and module versions are as they were: the image before runs on this database. What the release
    /// wrote stays.
    Image,
    /// Only tables, or columns that may be empty, were added: the image before usually runs on this database.
    ImageAfterCheck,
    /// It is not known: what decides it could not be read.
    NotKnown,
    /// The database goes back to the point.
    Database,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "kebab-case")]
pub enum Reason {
    /// A module has another version, was installed or is gone.
    Module {
        /// Its technical name.
        name: String,
        /// At the point; `None` where it was not installed.
        was: Option<String>,
        /// Now; `None` where it is not installed.
        is: Option<String>,
    },
    /// A table is not as it was.
    Schema(SchemaChange),
    /// The database is gone.
    Gone,
    /// Another database has its name, which was created or restored after the point.
    Replaced {
        /// What the database of the point is called now; `None` if it is gone.
        kept_as: Option<String>,
    },
    /// Something that decides it is not known.
    NotKnown {
        /// What, and why.
        what: String,
    },
}

impl Reason {
    fn way(&self) -> Way {
        match self {
            Reason::Module { .. } | Reason::Gone => Way::Database,
            Reason::Replaced { .. } => Way::Image,
            Reason::Schema(change) if change.is_addition() => Way::ImageAfterCheck,
            Reason::Schema(_) => Way::Database,
            Reason::NotKnown { .. } => Way::NotKnown,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Module { name, was: Some(was), is: Some(is) } => {
                write!(f, "module {name} was {was} and is {is}")
            }
            Reason::Module { name, was: None, is } => {
                write!(f, "module {name} {} was installed", is.as_deref().unwrap_or("without a version"))
            }
            Reason::Module { name, was: Some(was), is: None } => {
                write!(f, "module {name} {was} is not installed any more")
            }
            Reason::Schema(change) => change.fmt(f),
            Reason::Gone => f.write_str("the database does not exist"),
            Reason::Replaced { kept_as: Some(name) } => {
                write!(f, "another database has this name now; the database of the point is called {name}")
            }
            Reason::Replaced { kept_as: None } => f.write_str(
                "another database has this name, made after the point: what it contains is not known",
            ),
            Reason::NotKnown { what } => write!(f, "not known: {what}"),
        }
    }
}

/// The way that the reasons lead to.
pub fn way(reasons: &[Reason]) -> Way {
    // Somebody put it there, and nothing of the release is in its tables.
    if let [Reason::Replaced { kept_as: Some(_) }] = reasons {
        return Way::Nothing;
    }
    reasons.iter().map(Reason::way).max().unwrap_or(Way::Image)
}

/// Modules that differ, sorted by name.
pub fn modules(point: &[ModuleVersion], now: &[Versioned]) -> Vec<Reason> {
    let version =
        |version: &Option<String>| version.clone().unwrap_or_else(|| "without a version".to_owned());
    let before: BTreeMap<&str, String> =
        point.iter().map(|module| (module.name.as_str(), version(&module.version))).collect();
    let after: BTreeMap<&str, String> =
        now.iter().map(|module| (module.name.as_str(), version(&module.version))).collect();
    let mut names: Vec<&str> = before.keys().chain(after.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&str| before.get(name) != after.get(name);
    let reason = |name: &str| Reason::Module {
        name: name.to_owned(),
        was: before.get(name).cloned(),
        is: after.get(name).cloned(),
    };
    names.into_iter().filter(differs).map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::schema::Change;

    fn point(all: &[(&str, &str)]) -> Vec<ModuleVersion> {
        let module = |(name, version): &(&str, &str)| ModuleVersion {
            name: (*name).into(),
            version: Some((*version).into()),
        };
        all.iter().map(module).collect()
    }

    fn now(all: &[(&str, &str)]) -> Vec<Versioned> {
        point(all)
            .into_iter()
            .map(|module| Versioned { name: module.name, version: module.version })
            .collect()
    }

    #[test]
    fn a_module_that_changed_sends_the_database_back() {
        let found = modules(
            &point(&[("a", "1"), ("b", "1"), ("c", "1")]),
            &now(&[("b", "2"), ("c", "1"), ("d", "1")]),
        );
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected =
            ["module a 1 is not installed any more", "module b was 1 and is 2", "module d 1 was installed"];
        assert_eq!(said, expected);
        assert_eq!(way(&found), Way::Database);
        assert_eq!(way(&modules(&point(&[("a", "1")]), &now(&[("a", "1")]))), Way::Image);
    }

    #[test]
    fn a_database_that_was_put_back_needs_nothing_unless_the_release_is_in_it() {
        let put_back = Reason::Replaced { kept_as: Some("shop.replaced-1".into()) };
        let created = Reason::Replaced { kept_as: None };
        assert_eq!(way(std::slice::from_ref(&put_back)), Way::Nothing);
        assert_eq!(way(&[created]), Way::Image, "nobody knows what it is");
        let upgraded = modules(&point(&[("a", "1")]), &now(&[("a", "2")]));
        assert_eq!(way(&[upgraded[0].clone(), put_back.clone()]), Way::Database);
        assert_eq!(way(&[put_back, Reason::NotKnown { what: "x".into() }]), Way::NotKnown);
    }

    #[test]
    fn what_is_not_known_is_more_than_an_addition_and_less_than_a_loss() {
        let column =
            |change| Reason::Schema(SchemaChange { table: "t".into(), column: Some("c".into()), change });
        let added = column(Change::Added { is: Some("text".into()) });
        let unknown = Reason::NotKnown { what: "x".into() };
        assert_eq!(way(std::slice::from_ref(&added)), Way::ImageAfterCheck);
        assert_eq!(way(&[added.clone(), unknown.clone()]), Way::NotKnown);
        assert_eq!(way(&[added, unknown, column(Change::Dropped)]), Way::Database);
    }
}

//! What nobody could judge in a neutralized copy: a person should read it. It is listed, and left as it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::modules::Origin;

/// How many findings of one kind are listed; all are counted.
const LISTED_MAX: u64 = 50;

/// What a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownKind {
    /// A column that looks like a credential or like the address of another system.
    Column,
    /// A system parameter that does.
    Parameter,
    /// Stored files that look like private keys.
    File,
    /// A server action whose code looks as if it called another system.
    Code,
    /// A module that is not Odoo's own and has such columns, filled or empty.
    Module,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// What it is.
    pub kind: UnknownKind,
    /// As in `shop_backend.api_token`, `shop.address`, `ir.actions.server 12 (Push stock)`.
    pub name: String,
    /// The module that it belongs to, if one says so.
    pub module: Option<String>,
    /// Who wrote that module.
    pub origin: Origin,
    /// Rows (or files) that are filled; 1 for a parameter or an action.
    pub rows: u64,
    /// Why it is listed.
    pub why: String,
}

/// All findings: a bounded list, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknowns {
    /// How many of each kind were found.
    pub found: BTreeMap<UnknownKind, u64>,
    /// At most 50 of each kind, in the order of the kinds.
    pub listed: Vec<Unknown>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            UnknownKind::Column => "column",
            UnknownKind::Parameter => "system parameter",
            UnknownKind::File => "files of",
            UnknownKind::Code => "action",
            UnknownKind::Module => "module",
        };
        write!(f, "{what} {}", self.name)?;
        if self.kind != UnknownKind::Module {
            match (&self.module, self.origin) {
                (Some(module), Origin::Enterprise) => write!(f, ", module {module} of Odoo Enterprise")?,
                (Some(module), _) => write!(f, ", module {module}")?,
                (None, _) => write!(f, ", of no module")?,
            }
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        match self.kind {
            UnknownKind::Column => write!(f, ", {} {rows}", self.rows)?,
            UnknownKind::File => write!(f, ", {} files", self.rows)?,
            _ => {}
        }
        write!(f, ": {}", self.why)
    }
}

impl Unknowns {
    /// Counts all, and keeps a bounded list.
    pub(super) fn of(mut all: Vec<Unknown>) -> Unknowns {
        let mut out = Unknowns::default();
        all.sort_by_key(|one| one.kind); // stable: the order within a kind stays
        for one in all {
            let count = out.found.entry(one.kind).or_default();
            *count += 1;
            if *count <= LISTED_MAX {
                out.listed.push(one);
            }
        }
        out
    }

    /// Sentences for a person, at most `max`, and one that counts the rest.
    pub fn sentences(&self, max: usize) -> Vec<String> {
        let found: u64 = self.found.values().sum();
        let mut out: Vec<String> =
            self.listed.iter().take(max).map(|one| format!("not neutralized, look at it: {one}")).collect();
        let left = found.saturating_sub(out.len() as u64);
        if left > 0 {
            out.push(format!("not neutralized, and not shown here: {left} more (see `unknown` with --json)"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_bounded_and_says_how_much_it_leaves_out() {
        let one = Unknown {
            kind: UnknownKind::Column,
            name: "shop.token".into(),
            module: Some("shop".into()),
            origin: Origin::Other,
            rows: 2,
            why: "it looks like a credential".into(),
        };
        let unknowns = Unknowns::of(vec![one; 60]);
        assert_eq!(unknowns.listed.len(), 50);
        let said = unknowns.sentences(2);
        assert_eq!(said.len(), 3);
        assert_eq!(
            said[0],
            "not neutralized, look at it: column shop.token, module shop, 2 rows: it looks like a credential"
        );
        assert!(said[2].contains("58 more"), "{said:?}");
        let json = serde_json::to_value(&unknowns).unwrap();
        assert_eq!((&json["found"]["column"], &json["listed"][0]["origin"]), (&60.into(), &"other".into()));
    }
}

//! What the work on each document needs: the tenant, the marks, and what became of other documents.

use std::collections::{HashMap, HashSet};

use super::kind::Kind;
use super::mark::Marks;
use super::order_pickings::Relations;
use super::rights::Rights;
use super::stop::Stop;
use super::target::Target;

/// A row that a document names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It exists in the tenant.
    At(i64),
    /// A document of the export, which is entered before this one.
    Entered(Kind, i64),
}

/// The ground on which documents are planned and entered.
pub struct Ground {
    /// The tenant.
    pub target: Target,
    /// The marks of this export.
    pub marks: Marks,
    /// What was found of rows that documents name.
    pub known: HashMap<(String, i64), Result<i64, String>>,
    /// What the pickings are to each other.
    pub relations: Relations,
    /// What the user may do.
    rights: Rights,
    /// Documents that this plan enters, or that were entered before.
    planned: HashSet<(Kind, i64)>,
    /// What they are in the tenant.
    entered: HashMap<(Kind, i64), i64>,
}

impl Ground {
    /// Nothing is known yet.
    pub fn new(target: Target, marks: Marks) -> Ground {
        Ground {
            target,
            marks,
            known: HashMap::new(),
            relations: Relations::default(),
            rights: Rights::default(),
            planned: HashSet::new(),
            entered: HashMap::new(),
        }
    }

    /// Why the user may not enter documents of a kind; `None` if he may.
    ///
    /// # Errors
    /// [`Stop::Broken`].
    pub async fn missing_right(&mut self, kind: Kind) -> Result<Option<String>, Stop> {
        self.rights.missing(kind, &mut self.target).await
    }

    /// Notes that a document will be entered.
    pub fn plan(&mut self, kind: Kind, id: i64) {
        self.planned.insert((kind, id));
    }

    /// Notes what a document is in the tenant.
    pub fn enter(&mut self, kind: Kind, id: i64, new: i64) {
        self.planned.insert((kind, id));
        self.entered.insert((kind, id), new);
    }

    /// Whether it was entered or will be.
    pub fn is_entered(&self, kind: Kind, id: i64) -> bool {
        self.planned.contains(&(kind, id))
    }

    /// What a document is in the tenant, if it is already there.
    pub fn entered(&self, kind: Kind, id: i64) -> Option<i64> {
        self.entered.get(&(kind, id)).copied()
    }

    /// The `id` in the tenant.
    ///
    /// # Errors
    /// `Refused` if it is a document that could not be entered.
    pub fn id(&self, named: Named) -> Result<i64, Stop> {
        match named {
            Named::At(id) => Ok(id),
            Named::Entered(kind, id) => self
                .entered(kind, id)
                .map_or_else(|| Stop::refused(format!("its {} (id {id}) was not entered", kind.word())), Ok),
        }
    }
}

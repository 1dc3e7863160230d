//! What would be entered, and what not.

use super::by_kind::{draft, found};
use super::draft::Draft;
use super::exported::Exported;
use super::ground::Ground;
use super::kind::Kind;
use super::mark::Marks;
use super::order_pickings::Relations;
use super::read::Export;
use super::rights::check_address;
use super::source;
use super::stop::Stop;
use super::target::Target;
use crate::error::Result;
use crate::odoo::rpc::OdooClient;

/// What is done with a document.
#[derive(Debug)]
pub enum Action {
    /// It is entered.
    Enter(Draft),
    /// It was entered before, and is this one; what is missing is done.
    Finish(i64),
    /// It is not to be entered, for this reason.
    LeaveOut(String),
    /// It cannot be entered, for this reason.
    Refuse(String),
}

/// A document, and what is done with it.
#[derive(Debug)]
pub struct Step {
    /// Its kind.
    pub kind: Kind,
    /// Which of its kind it is in the export.
    pub at: usize,
    /// What is done.
    pub action: Action,
}

/// All of them, in order.
pub struct Plan {
    /// The documents.
    pub steps: Vec<Step>,
    pub(super) ground: Ground,
}

/// Makes the plan; only reads.
///
/// # Errors
/// `Refused` if the database is the one that was exported, or the user has no mail address; `Unreachable` if
/// Odoo does not answer.
pub async fn plan(export: &Export, client: OdooClient) -> Result<Plan> {
    let mut ground = Ground::new(Target::new(client), Marks::of(&export.head));
    source::check(export, &mut ground).await?;
    check_address(&mut ground.target).await?;
    if let Some((_, pickings)) = export.documents.iter().find(|(kind, _)| *kind == Kind::Picking) {
        ground.relations = Relations::of(pickings);
    }
    let mut steps = Vec::new();
    for (kind, documents) in &export.documents {
        for (at, document) in documents.iter().enumerate() {
            let action = match look(*kind, document, &mut ground).await {
                Ok(action) => action,
                Err(Stop::Refused(why)) => Action::Refuse(why),
                Err(Stop::LeftOut(why)) => Action::LeaveOut(why),
                Err(Stop::Broken(error)) => return Err(error.effect("nothing was entered")),
            };
            match &action {
                Action::Enter(_) => ground.plan(*kind, document.row.id),
                Action::Finish(id) => ground.enter(*kind, document.row.id, *id),
                Action::LeaveOut(_) | Action::Refuse(_) => {}
            }
            steps.push(Step { kind: *kind, at, action });
        }
    }
    Ok(Plan { steps, ground })
}

/// A right that is missing is the reason, whatever else Odoo refuses for want of it.
async fn look(kind: Kind, document: &Exported, ground: &mut Ground) -> Result<Action, Stop> {
    let looked = match found(kind, document, ground).await {
        Ok(Some(id)) => Ok(Action::Finish(id)),
        Ok(None) => draft(kind, document, ground).await.map(Action::Enter),
        Err(stop) => Err(stop),
    };
    match looked {
        Ok(Action::Enter(_)) | Err(Stop::Refused(_)) => match ground.missing_right(kind).await? {
            Some(why) => Stop::refused(why),
            None => looked,
        },
        looked => looked,
    }
}

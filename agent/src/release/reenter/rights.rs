//! What the user must be allowed for each kind of document. It is looked at before a document is created:
//! Odoo asks for some rights only at a later step, and then half of the document would be there.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::kind::Kind;
use super::stop::Stop;
use super::target::Target;
use crate::error::{Error, Kind as Cause, Result};

/// The first version in which any user may ask a record for its rights (`has_access`).
const HAS_ACCESS_SINCE: u32 = 18;

/// What a kind needs: models with operations, and the name of the group in Odoo that allows them.
struct Needed {
    group: &'static str,
    rights: &'static [(&'static str, &'static [&'static str])],
}

const READ_ALSO: &[&str] = &["read", "write", "create"];

fn needed(kind: Kind) -> Needed {
    match kind {
        Kind::Partner => Needed { group: "Contact Creation", rights: &[("res.partner", READ_ALSO)] },
        Kind::SaleOrder => Needed {
            group: "Sales / User: All Documents",
            rights: &[("sale.order", READ_ALSO), ("sale.order.line", READ_ALSO)],
        },
        Kind::Picking => Needed {
            group: "Inventory / User",
            // on Odoo 17, Sales and Point of Sale have them, too
            rights: &[
                ("stock.picking", READ_ALSO),
                ("stock.move", READ_ALSO),
                ("stock.move.line", READ_ALSO),
            ],
        },
        Kind::Payment => Needed {
            group: "Invoicing / Billing",
            rights: &[("account.payment", READ_ALSO), ("account.move", READ_ALSO)],
        },
        Kind::PosOrder => Needed {
            group: "Point of Sale / User",
            rights: &[
                ("pos.order", READ_ALSO),
                ("pos.order.line", READ_ALSO),
                ("pos.payment", READ_ALSO),
                ("pos.session", &["read"]),
            ],
        },
    }
}

/// Refuses a user without a mail address: Odoo writes messages to some documents (a backorder) in his name,
/// and without an address it refuses them in the middle of a document.
///
/// # Errors
/// `Refused` if he has none; `Unreachable` if Odoo does not answer.
pub async fn check_address(target: &mut Target) -> Result<()> {
    let uid = target.uid();
    let rows = match target.find("res.users", json!([["id", "=", uid]]), &["login", "email"], 1).await {
        Ok(rows) => rows,
        Err(Stop::Broken(error)) => return Err(error.effect("nothing was entered")),
        // what he may not know of himself is seen when he enters
        Err(_) => return Ok(()),
    };
    let Some(row) = rows.first().filter(|row| row.get("email") == Some(&Value::Bool(false))) else {
        return Ok(());
    };
    let login = row.get("login").and_then(Value::as_str).unwrap_or_default();
    Err(Error::new(Cause::Refused, format!("user {login} has no mail address in Odoo"))
        .because("Odoo writes messages in the user's name, and refuses those without a sender")
        .effect("nothing was entered")
        .next(format!("in Odoo, set an e-mail address for user {login}, and run again")))
}

/// The rights of the user, as far as they were asked for.
#[derive(Debug, Default)]
pub struct Rights(HashMap<Kind, Option<String>>);

impl Rights {
    /// Why the user may not enter documents of a kind; `None` if he may.
    ///
    /// # Errors
    /// [`Stop::Broken`].
    pub async fn missing(&mut self, kind: Kind, target: &mut Target) -> Result<Option<String>, Stop> {
        if let Some(known) = self.0.get(&kind) {
            return Ok(known.clone());
        }
        let Needed { group, rights } = needed(kind);
        let mut why = None;
        'all: for (model, operations) in rights {
            for operation in *operations {
                if !is_allowed(target, model, operation).await? {
                    why = Some(format!(
                        "the user may not {operation} {model}: give the user the right {group:?}, and run again"
                    ));
                    break 'all;
                }
            }
        }
        self.0.insert(kind, why.clone());
        Ok(why)
    }
}

/// What Odoo answers; a model that is not installed is no matter of rights.
async fn is_allowed(target: &mut Target, model: &str, operation: &str) -> Result<bool, Stop> {
    let asked = match target.major() >= HAS_ACCESS_SINCE {
        true => target.call(model, "has_access", json!([[], operation])).await,
        false => {
            let named = json!({ "raise_exception": false });
            target.call_with(model, "check_access_rights", json!([operation]), named, json!({})).await
        }
    };
    match asked {
        Ok(answer) => Ok(answer != Value::Bool(false)),
        Err(Stop::Broken(error)) => Err(Stop::Broken(error)),
        Err(_) => Ok(true),
    }
}

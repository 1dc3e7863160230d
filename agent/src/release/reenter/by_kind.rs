//! The steps of a document, whatever its kind.

use super::draft::Draft;
use super::exported::Exported;
use super::finished::Finished;
use super::ground::Ground;
use super::kind::Kind;
use super::stop::Stop;
use super::{partners, payments, pickings, pos_orders, sale_orders};

/// The document in the tenant, if it was entered before.
///
/// # Errors
/// [`Stop`].
pub async fn found(kind: Kind, document: &Exported, ground: &mut Ground) -> Result<Option<i64>, Stop> {
    match kind {
        Kind::Partner => partners::found(document, ground).await,
        Kind::Picking => pickings::found(document, ground).await,
        Kind::PosOrder => pos_orders::found(document, ground).await,
        Kind::SaleOrder | Kind::Payment => {
            let mark = ground.marks.name(kind.table(), document.row.id);
            ground.target.marked(kind.model(), &mark).await
        }
    }
}

/// How it is entered; only reads.
///
/// # Errors
/// [`Stop`].
pub async fn draft(kind: Kind, document: &Exported, ground: &mut Ground) -> Result<Draft, Stop> {
    Ok(match kind {
        Kind::Partner => Draft::Sheet(partners::draft(document, ground).await?),
        Kind::SaleOrder => Draft::Sheet(sale_orders::draft(document, ground).await?),
        Kind::Payment => Draft::Sheet(payments::draft(document, ground).await?),
        Kind::Picking => pickings::draft(document, ground).await?,
        Kind::PosOrder => Draft::Pos(Box::new(pos_orders::draft(document, ground).await?)),
    })
}

/// Enters it with its mark; its `id` in the tenant.
///
/// # Errors
/// [`Stop`].
pub async fn create(draft: &Draft, document: &Exported, ground: &mut Ground) -> Result<i64, Stop> {
    match draft {
        Draft::Sheet(sheet) => sheet.load(ground).await,
        Draft::OfOrder => pickings::made_by_odoo(document, ground).await,
        Draft::Pos(draft) => pos_orders::create(draft, document, ground).await,
    }
}

/// Confirms, posts or validates it, as far as the old one was, and compares both.
///
/// # Errors
/// [`Stop`].
pub async fn finish(kind: Kind, document: &Exported, id: i64, ground: &mut Ground) -> Result<Finished, Stop> {
    match kind {
        Kind::Partner => partners::finish(document, id, ground).await,
        Kind::SaleOrder => sale_orders::finish(document, id, ground).await,
        Kind::Payment => payments::finish(document, id, ground).await,
        Kind::Picking => pickings::finish(document, id, ground).await,
        Kind::PosOrder => pos_orders::finish(document, id, ground).await,
    }
}

//! How the totals of business documents grew.

use super::{About, Change, Weight};
use crate::odoo::baseline::figures::{Figures, Total};

pub(super) fn changes(before: &[Figures], after: &[Figures]) -> Vec<Change> {
    let mut all = Vec::new();
    for is in after {
        let Some(was) = before.iter().find(|was| was.document == is.document) else { continue };
        for total in &is.totals {
            let same = |one: &&Total| {
                (one.is_done, one.company, &one.currency) == (total.is_done, total.company, &total.currency)
            };
            let known = was.totals.iter().find(same);
            if known == Some(total) {
                continue;
            }
            let company = total.company.map_or(String::new(), |id| format!(" of company {id}"));
            let word = match total.is_done {
                Some(true) => is.document.done_word().map_or(String::new(), |word| format!(", {word}")),
                Some(false) => ", other".to_owned(),
                None => String::new(),
            };
            let what = format!("{}{company}{word}", is.document.plural());
            let sum = |total: &Total| match (total.total, &total.currency) {
                (Some(sum), Some(currency)) => format!("{}, {sum} {currency}", total.rows),
                _ => total.rows.to_string(),
            };
            let from = known.map_or_else(|| "none".to_owned(), sum);
            all.push(Change::new(
                Weight::Grown,
                About::Documents,
                what,
                format!("{} now, before {from}", sum(total)),
            ));
        }
    }
    all
}

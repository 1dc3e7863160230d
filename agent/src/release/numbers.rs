//! Numbers that were given out since the point: after a rollback they are given out again.

use serde::Serialize;

use crate::odoo::business::{Numbering, gives_numbers};
use crate::odoo::counters::{Counters, Last, SequenceCounters};

/// Numbers of one sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumbersUsed {
    /// The sequence.
    pub sequence: String,
    /// Odoo's code and prefix of it, where they are known.
    pub of: Option<String>,
    /// The first number that was given out after the point, and the last; `None` if that is not known.
    pub numbers: Option<(i64, i64)>,
    /// How many.
    pub count: Option<u64>,
}

/// Odoo's own numbers (orders, transfers, POS) that were given out, sorted by sequence. The `id` of tables is
/// not among them. `None` without the counters of the point.
pub fn used(
    point: Option<&Counters>,
    now: &Counters,
    numbering: Option<&Numbering>,
) -> Option<Vec<NumbersUsed>> {
    let point = point?;
    let mut out = Vec::new();
    for new in now.sequences.iter().filter(|one| one.schema == "public" && gives_numbers(&one.name)) {
        let old = point.sequences.iter().find(|old| old.schema == new.schema && old.name == new.name);
        let given = given_out(old, new);
        if given == Given::Nothing {
            continue;
        }
        let (numbers, count) = match given {
            Given::Numbers(first, last, count) => (Some((first, last)), Some(count)),
            _ => (None, None),
        };
        let of = numbering.and_then(|numbering| numbering.of(&new.name)).map(str::to_owned);
        out.push(NumbersUsed { sequence: new.name.clone(), of, numbers, count });
    }
    Some(out)
}

#[derive(Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Numbers(i64, i64, u64),
    NotKnown,
}

fn given_out(old: Option<&SequenceCounters>, new: &SequenceCounters) -> Given {
    let step = new.increment;
    let before = match old.map(|old| (old.oid == new.oid, old.last)) {
        Some((true, before)) => before,
        // A range of dates that began after the point, or one that was made again.
        Some((false, _)) => return Given::NotKnown,
        None => Last::None,
    };
    match (before, new.last) {
        (Last::None, Last::None) => Given::Nothing,
        (Last::At(before), Last::At(now)) if before == now => Given::Nothing,
        (Last::At(before), Last::At(now)) if step > 0 && now > before => {
            let count = now.abs_diff(before) / step.unsigned_abs();
            Given::Numbers(before.saturating_add(step), now, count)
        }
        // Odoo's begin with 1.
        (Last::None, Last::At(now)) if step == 1 && now > 0 => Given::Numbers(1, now, now.unsigned_abs()),
        _ => Given::NotKnown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::made_up::{counters, sequence};

    #[test]
    fn numbers_are_those_after_the_last_one_of_the_point() {
        let (mut point, mut now) = (counters(0), counters(1));
        point.sequences = vec![
            sequence("ir_sequence_001", 100),
            sequence("ir_sequence_002", 7),
            sequence("ir_sequence_003", 9),
            sequence("sale_order_id_seq", 1),
        ];
        now.sequences = vec![
            sequence("ir_sequence_001", 112),
            sequence("ir_sequence_002", 7),
            sequence("ir_sequence_003", 2),
            sequence("ir_sequence_004", 3),
            sequence("sale_order_id_seq", 50),
        ];
        let numbering = Numbering::made_up(&[(1, "sale.order S")]);
        let found = used(Some(&point), &now, Some(&numbering)).unwrap();
        let said: Vec<_> = found
            .iter()
            .map(|one| (one.sequence.as_str(), one.of.as_deref(), one.numbers, one.count))
            .collect();
        let expected = [
            ("ir_sequence_001", Some("sale.order S"), Some((101, 112)), Some(12)),
            ("ir_sequence_003", None, None, None),
            ("ir_sequence_004", None, Some((1, 3)), Some(3)),
        ];
        assert_eq!(said, expected);
        assert_eq!(used(None, &now, None), None);
    }
}

//! The rules: which difference between two backups no normal work explains. Pure.
//!
//! Odoo refuses to delete confirmed documents and their lines, so even a few that are gone mean something.
//! What people do every day stays below the limits: drafts are deleted, orders cancelled, modules updated.

use std::collections::BTreeMap;

use super::numbers::{Compressed, DatabaseNumbers};
use crate::backup::filestore::{Changes, Sampled};
use crate::catalog::suspicion::Finding;
use crate::odoo::lasting::{Counted, Day, DaysLost, LASTING, Lasting, SumChanged, is_share};

/// A table counts, whatever its rows are, if so many of them are gone, and 1 of 4.
const ROWS_GONE_MIN: u64 = 50;
const ROWS_GONE_PER_100: u64 = 25;
/// A table that is gone counts if it had so many rows.
const TABLE_ROWS_MIN: u64 = 10;
/// Files that are gone count if they are so many, and 3 of 10; or if they were all, and so many.
const FILES_GONE_MIN: u64 = 100;
const FILES_GONE_PER_100: u64 = 30;
const ALL_FILES_MIN: u64 = 10;
/// So many overwritten files of a sample count; fewer may be the fault of a disk.
const FILES_ALTERED_MIN: u64 = 3;
/// Data is compared only if there is so much of it.
const COMPRESSED_BYTES_MIN: u64 = 4 << 20;
/// A dump counts if so much more of 100 is left after compression, while its size changed by at most a half.
const LEFT_MORE: u64 = 25;
/// New files count if so much of 100 is left, and it was at most so much, and they are 1 of 5 of all.
const FILES_LEFT_MIN: u64 = 97;
const FILES_LEFT_BEFORE_MAX: u64 = 85;
const NEW_FILES_PER_100: u64 = 20;

/// A database now.
pub(super) struct DatabaseNow<'a> {
    /// The numbers that the next backup compares with.
    pub(super) numbers: &'a DatabaseNumbers,
    /// The tables, with the part of each that the backup before had.
    pub(super) tables: &'a BTreeMap<String, Counted>,
    /// Whether there was a release since the backup before.
    pub(super) was_released: bool,
    /// Whether this host knows of any release of this instance.
    pub(super) has_releases: bool,
}

/// Why the two are not compared; `None` if they are.
pub(super) fn incomparable(before: &DatabaseNumbers, now: &DatabaseNumbers) -> Option<&'static str> {
    if before.oid != now.oid || before.uuid != now.uuid {
        return Some("it is another database than that of the last backup, or was restored");
    }
    (now.lsn < before.lsn).then_some("its server was taken back to before the last backup")
}

/// What no normal work explains.
pub(super) fn database(before: &DatabaseNumbers, now: &DatabaseNow<'_>) -> Vec<Finding> {
    let modules = modules(before, now);
    // With a release, modules may take their tables along.
    let tables_may_go = now.was_released && before.modules != now.numbers.modules;
    let mut findings: Vec<Finding> =
        LASTING.iter().filter_map(|one| table(one, before, now, tables_may_go)).collect();
    findings.extend(modules);
    findings
}

/// What no normal work explains in a filestore.
pub(super) fn files(changes: &Changes) -> Vec<Finding> {
    let Changes { kept, gone, sampled, .. } = *changes;
    let of = kept + gone;
    let many = gone >= FILES_GONE_MIN && is_share(gone, of, FILES_GONE_PER_100);
    let all = kept == 0 && gone >= ALL_FILES_MIN;
    let gone = (many || all).then_some(Finding::FilesGone { gone, of });
    let Sampled { read, altered } = sampled;
    let altered = (altered >= FILES_ALTERED_MIN).then_some(Finding::FilesAltered { altered, read });
    gone.into_iter().chain(altered).collect()
}

impl Compressed {
    /// Whether there is enough of it to be compared.
    pub(super) fn says_something(&self) -> bool {
        self.plain >= COMPRESSED_BYTES_MIN
    }

    /// How much is left of 100.
    fn left(&self) -> u64 {
        self.stored.saturating_mul(100) / self.plain.max(1)
    }
}

/// Whether a dump can be compressed less than the one before.
pub(super) fn dump_compressed(before: Compressed, now: Compressed) -> Option<Finding> {
    let is_alike = now.plain / 3 <= before.plain / 2 && before.plain / 2 <= now.plain;
    let counts = is_alike && now.says_something() && now.left() >= before.left() + LEFT_MORE;
    counts.then(|| incompressible("dump", before, now))
}

/// Whether many new files can be compressed less than new files before.
pub(super) fn files_compressed(before: Compressed, now: Compressed, changes: &Changes) -> Option<Finding> {
    let all = changes.kept + changes.new_files;
    let counts = now.says_something()
        && is_share(changes.new_files, all, NEW_FILES_PER_100)
        && before.left() <= FILES_LEFT_BEFORE_MAX
        && now.left() >= FILES_LEFT_MIN;
    counts.then(|| incompressible("filestore", before, now))
}

fn incompressible(what: &str, before: Compressed, now: Compressed) -> Finding {
    Finding::Incompressible { what: what.to_owned(), from: before.left(), to: now.left() }
}

fn table(
    lasting: &Lasting,
    before: &DatabaseNumbers,
    now: &DatabaseNow<'_>,
    may_go: bool,
) -> Option<Finding> {
    let (name, was) = before.tables.get_key_value(lasting.table)?;
    let Some(is) = now.tables.get(lasting.table) else {
        let counts = was.rows >= TABLE_ROWS_MIN && !may_go;
        return counts.then(|| Finding::TableGone { table: name.clone(), of: was.rows });
    };
    // Only rows that the backup before had: new ones do not hide that old ones went.
    let old = &is.old;
    documents_gone(lasting, &was.days, &old.days).or_else(|| {
        let gone = was.rows.saturating_sub(old.rows);
        if gone >= ROWS_GONE_MIN && is_share(gone, was.rows, ROWS_GONE_PER_100) {
            return Some(Finding::RowsGone { table: name.clone(), gone, of: was.rows });
        }
        sum_changed(lasting, &was.days, &old.days)
    })
}

fn sum_changed(lasting: &Lasting, was: &BTreeMap<i32, Day>, is: &BTreeMap<i32, Day>) -> Option<Finding> {
    SumChanged::of(was, is).map(|SumChanged { from, to }| Finding::SumChanged {
        table: lasting.table.to_owned(),
        column: lasting.amount.unwrap_or_default().to_owned(),
        from: from.to_string(),
        to: to.to_string(),
    })
}

fn documents_gone(lasting: &Lasting, was: &BTreeMap<i32, Day>, is: &BTreeMap<i32, Day>) -> Option<Finding> {
    let lost = DaysLost::of(was, is).filter(|lost| lost.is_loss)?;
    let dates = lost.dates();
    Some(Finding::DocumentsGone {
        table: lasting.table.to_owned(),
        gone: lost.gone(),
        of: lost.of_rows(),
        days: lost.days.len() as u64,
        first: dates.first().cloned(),
        last: dates.last().cloned(),
    })
}

/// Modules that came or went without a release. A site that ties no backup to a release installs modules as
/// it likes; a removed module takes its data along.
fn modules(before: &DatabaseNumbers, now: &DatabaseNow<'_>) -> Option<Finding> {
    let (was, is) = (&before.modules, &now.numbers.modules);
    let only_in = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|name| !other.contains(name)).cloned().collect()
    };
    let (added, removed) = (only_in(is, was), only_in(was, is));
    let counts = !now.was_released && (!removed.is_empty() || now.has_releases && !added.is_empty());
    counts.then_some(Finding::ModulesChanged { added, removed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::names::Lsn;
    use crate::odoo::lasting::LastingRow;
    use crate::postgres::decimal::Decimal;

    const DAY: i64 = 86_400_000_000;

    /// `(id, day, confirmed)`, each worth 10.
    type Rows = Vec<(i64, i64, bool)>;

    fn counted(rows: &[(i64, i64, bool)], before: Option<i64>) -> Counted {
        let mut counted = Counted::default();
        for (id, day, is_confirmed) in rows.iter().copied() {
            let (id, created, amount) = (Some(id), Some(day * DAY), Some(Decimal::whole(10)));
            counted.add(&LastingRow { id, created, is_confirmed, amount }, before);
        }
        counted
    }

    fn numbers(tables: &BTreeMap<String, Counted>) -> DatabaseNumbers {
        DatabaseNumbers {
            at: Timestamp::UNIX_EPOCH,
            lsn: Lsn(7),
            oid: 5,
            uuid: Some("one".into()),
            release: None,
            modules: vec!["base".into(), "sale".into()],
            tables: tables.iter().map(|(name, one)| (name.clone(), one.now.clone())).collect(),
        }
    }

    fn of(table: &str, counted: Counted) -> BTreeMap<String, Counted> {
        BTreeMap::from([(table.to_owned(), counted)])
    }

    fn compared(was: &[(i64, i64, bool)], is: &[(i64, i64, bool)]) -> Vec<Finding> {
        let before = numbers(&of("sale_order", counted(was, None)));
        let tables = of("sale_order", counted(is, before.tables["sale_order"].max_id));
        let now = numbers(&tables);
        let now = DatabaseNow { numbers: &now, tables: &tables, was_released: false, has_releases: false };
        database(&before, &now)
    }

    /// Ten days of ten orders, the last two of each day drafts.
    fn orders() -> Rows {
        (0..100).map(|n| (n + 1, 7_300 + n / 10, n % 10 < 8)).collect()
    }

    #[test]
    fn a_day_of_whole_orders_is_missed_although_as_many_came() {
        let mut now = orders();
        now.retain(|(_, day, _)| *day != 7_305);
        now.extend((0..12).map(|n| (101 + n, 7_305, true)));
        let found = compared(&orders(), &now);
        let text = "sale_order: 8 of 8 confirmed rows made on 2020-01-01 are gone";
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
    }

    #[test]
    fn what_people_do_every_day_is_not_reported() {
        let change = |change: &dyn Fn(&mut Rows)| {
            let mut now = orders();
            change(&mut now);
            compared(&orders(), &now)
        };
        assert_eq!(change(&|_| {}), []);
        assert_eq!(change(&|now| now.retain(|(_, _, confirmed)| *confirmed)), [], "all drafts deleted");
        assert_eq!(change(&|now| now.iter_mut().for_each(|row| row.2 = false)), [], "all orders cancelled");
        assert_eq!(change(&|now| now.iter_mut().for_each(|row| row.2 = true)), [], "all drafts confirmed");
        let four = |row: &(i64, i64, bool)| row.1 != 7_305 || row.0 % 10 > 4 || row.0 % 10 == 0;
        assert_eq!(change(&|now| now.retain(four)), [], "four confirmed orders of a day");
        assert_eq!(change(&|now| now.extend((0..500).map(|n| (101 + n, 7_310, true)))), [], "many new ones");
    }

    #[test]
    fn confirmed_rows_spread_over_days_and_large_parts_are_found() {
        let without = |keep: &dyn Fn(&(i64, i64, bool)) -> bool| {
            let mut now = orders();
            now.retain(keep);
            compared(&orders(), &now)
        };
        let spread = without(&|row| row.0 % 10 > 2 || row.0 % 10 == 0);
        assert!(
            matches!(&spread[..], [Finding::DocumentsGone { gone: 20, of: 80, days: 10, .. }]),
            "two of each day: {spread:?}"
        );
        assert_eq!(without(&|row| row.0 % 10 != 1), [], "one of each day");
        let never: Rows = orders().into_iter().map(|row| (row.0, row.1, false)).collect();
        let half = compared(&never, &never[..50]);
        assert_eq!(half, [Finding::RowsGone { table: "sale_order".into(), gone: 50, of: 100 }]);
        assert_eq!(compared(&never, &never[..51]), []);
    }

    #[test]
    fn sums_and_tables_count_too() {
        let before = numbers(&of("sale_order", counted(&orders(), None)));
        let mut tables = of("sale_order", counted(&orders(), Some(100)));
        let now = |tables: &BTreeMap<String, Counted>| {
            let now = numbers(tables);
            let now = DatabaseNow { numbers: &now, tables, was_released: false, has_releases: false };
            database(&before, &now).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let first_day = |tables: &mut BTreeMap<String, Counted>, sum| {
            let days = &mut tables.get_mut("sale_order").unwrap().old.days;
            days.get_mut(&7_300).unwrap().sum = Some(Decimal::whole(sum));
        };
        first_day(&mut tables, 1);
        assert!(now(&tables).is_empty(), "721 of 800");
        let text = "sale_order: the sum of amount_total of the same rows changed from 800.00 to 720.00";
        first_day(&mut tables, 0);
        assert_eq!(now(&tables), [text]);
        assert_eq!(now(&BTreeMap::new()), ["sale_order: the table is gone; it had 100 rows"]);
    }

    #[test]
    fn modules_and_tables_may_go_with_a_release() {
        let all = of("sale_order", counted(&orders(), None));
        let (before, none) = (numbers(&all), BTreeMap::new());
        let words = |modules: &[&str], was_released, has_releases| {
            let numbers = DatabaseNumbers {
                modules: modules.iter().map(|name| (*name).to_owned()).collect(),
                ..numbers(&none)
            };
            let now = DatabaseNow { numbers: &numbers, tables: &none, was_released, has_releases };
            database(&before, &now).iter().map(Finding::word).collect::<Vec<_>>()
        };
        assert_eq!(words(&["base"], false, false), ["table-gone", "modules-changed"]);
        assert!(words(&["base"], true, true).is_empty());
        assert_eq!(words(&["base", "sale"], true, true), ["table-gone"], "no module explains it");
        let installed = ["base", "sale", "stock"];
        assert_eq!(words(&installed, false, false), ["table-gone"], "this site has no releases");
        assert_eq!(words(&installed, false, true), ["table-gone", "modules-changed"]);
    }

    #[test]
    fn files_that_are_gone_or_overwritten_count_from_a_limit_on() {
        let words = |kept, gone, altered| {
            let changes = Changes { kept, gone, new_files: 0, sampled: Sampled { read: 128, altered } };
            files(&changes).iter().map(Finding::word).collect::<Vec<_>>()
        };
        assert_eq!(words(700, 299, 2), [""; 0]);
        assert_eq!(words(700, 300, 3), ["files-gone", "files-altered"]);
        assert_eq!((words(10, 99, 0), words(0, 9, 0)), (Vec::new(), Vec::new()));
        assert_eq!(words(0, 10, 0), ["files-gone"]);
    }

    #[test]
    fn data_that_cannot_be_compressed_any_more_is_found() {
        let of = |plain: u64, left| Compressed { plain: plain << 20, stored: (plain << 20) * left / 100 };
        assert_eq!(dump_compressed(of(50, 15), of(50, 39)), None);
        assert!(dump_compressed(of(50, 15), of(50, 40)).is_some());
        assert_eq!(dump_compressed(of(50, 15), of(110, 60)), None, "many files were added");
        assert_eq!(dump_compressed(of(3, 15), of(3, 90)), None, "too small");
        let changes = |kept, new_files| Changes { kept, new_files, ..Changes::default() };
        assert!(files_compressed(of(9, 60), of(9, 100), &changes(80, 20)).is_some());
        assert_eq!(files_compressed(of(9, 60), of(9, 100), &changes(81, 19)), None);
        assert_eq!(files_compressed(of(9, 90), of(9, 100), &changes(80, 20)), None, "photos, as before");
        assert_eq!(files_compressed(of(9, 60), of(9, 96), &changes(80, 20)), None);
    }

    #[test]
    fn another_database_is_not_compared() {
        let before = numbers(&BTreeMap::new());
        assert_eq!(incomparable(&before, &before), None);
        let changed = |change: &dyn Fn(&mut DatabaseNumbers)| {
            let mut now = before.clone();
            change(&mut now);
            incomparable(&before, &now).is_some()
        };
        assert!(changed(&|now| now.oid = 6) && changed(&|now| now.uuid = None));
        assert!(changed(&|now| now.lsn = Lsn(6)) && !changed(&|now| now.lsn = Lsn(8)));
    }
}

//! Every check of the catalogue names the rule that makes it true.

#![allow(clippy::unwrap_used)] // a test panics where it fails

use restore_drill::catalogue;

/// `model.method` or `model.field`, in Odoo's own spelling.
fn names_code(rule: &str) -> bool {
    rule.split_whitespace().any(|word| {
        let word = word.trim_end_matches([',', '.', ';']);
        let parts: Vec<&str> = word.split('.').collect();
        let plain =
            |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        parts.len() >= 2 && parts.iter().all(plain)
    })
}

#[test]
fn every_check_names_the_code_of_odoo_that_makes_it_true() {
    let catalogue = catalogue::load(None).unwrap();
    assert!(catalogue.checks.len() > 90);
    for check in &catalogue.checks {
        let rule = check.reason.split_once(" Odoo: ").map(|(_, rule)| rule);
        let rule = rule.unwrap_or_else(|| panic!("{} names no rule: {}", check.id, check.reason));
        assert!(names_code(rule), "{} names no code of Odoo: {rule}", check.id);
    }
}

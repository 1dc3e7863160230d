//! docs/installation.md, and the runbooks on the machine that it leaves: every command as it stands, with its
//! users, roles and modes.

use std::collections::BTreeSet;
use std::fs;

use lifeboat_tests::program::workspace_root;

use crate::page::{can_make_a_machine, commands, on_a_machine};

/// Says in the output where something begins.
fn mark(name: &str) -> String {
    format!("echo '=== {name}'\n")
}

#[test]
fn a_bare_machine_is_set_up_as_the_page_says() {
    if !can_make_a_machine() {
        return;
    }
    let script = commands("docs/installation.md");
    let done = on_a_machine(&script).ok();
    println!("{done}");
    let printed = &done.stdout;
    for line in ["lifeboat", "postgres"] {
        assert!(printed.lines().any(|said| said == line), "current_user is {line}: {done}");
    }
    assert!(printed.contains("(0 rows)"), "pg_hba.conf has no line with an error: {done}");
    assert!(printed.contains(" 0 failed"), "doctor has nothing to correct: {done}");
    assert!(!printed.contains("FAIL"), "{done}");
    for back in ["shop is back as database shop_check", "shop is back as database shop_now"] {
        assert!(printed.contains(back), "{done}");
    }

    // What doctor prints, the page explains.
    let page = fs::read_to_string(workspace_root().join("docs/installation.md")).unwrap();
    let statuses = ["ok    ", "WARN  ", "FAIL  "];
    let lines = printed.lines().filter_map(|line| statuses.iter().find_map(|s| line.strip_prefix(s)));
    let names: BTreeSet<_> = lines.filter_map(|line| line.get(..16)).map(str::trim).collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "the page does not explain doctor's line {name:?}");
    }
}

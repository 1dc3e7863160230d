//! README's quick start, line by line, on a machine with an Odoo and nothing of ours.

use crate::page::{can_make_a_machine, commands, on_a_machine};

#[test]
fn readmes_quick_start_works_verbatim() {
    if !can_make_a_machine() {
        return;
    }
    let quick_start: String = commands("README.md")
        .split_inclusive('\n')
        .skip_while(|line| !line.starts_with("cargo build --release"))
        .collect();
    let after = "
        for database in shop shop_check; do psql -d $database -XAtc 'SELECT count(*) FROM res_partner'; done
        ls -A";
    let done = on_a_machine(&format!("{quick_start}{after}\n")).ok();
    println!("{done}");
    let printed = &done.stdout;
    assert!(printed.contains(" 0 failed") && !printed.contains("FAIL"), "doctor has nothing to correct");
    assert!(printed.contains("shop is restored as database shop_check"));
    let files = [
        "lifeboat.toml",
        "lifeboat-state",
        "lifeboat-signing-key",
        "lifeboat-repository",
        "lifeboat-identity.txt",
        "lifeboat-evidence-key.pub.pem",
        "lifeboat-evidence-key.pem",
    ];
    let end: Vec<_> = printed.lines().rev().take(files.len() + 2).collect();
    let (here, partners) = end.split_at(files.len());
    assert_eq!(here, files, "all of it in this directory");
    assert_eq!(partners[0], partners[1], "as many partners");
    assert!(partners[0].parse::<u32>().is_ok_and(|count| count > 0), "{end:?}");
}

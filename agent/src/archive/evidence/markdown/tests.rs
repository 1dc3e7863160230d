//! The page of a sample, and of texts that try to change it.

use super::*;
use crate::archive::evidence::sample;

#[test]
fn the_verdict_comes_first_and_everything_that_a_ticket_needs_is_there() {
    let checkpoint = sample::checkpoint();
    let page = text(&checkpoint);
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines[0], "# Checkpoint of release 2026.11.29-rc1");
    assert!(lines[2].starts_with("**The release may go ahead, although"), "{page}");
    for part in [
        "| readiness | 90 % of the required gates passed |\n|---|---|\n| risk | high |",
        "| base | **FAILED, overridden** | the base backup is 24 h old; 12 h are allowed |",
        "Gate base was overridden by release-manager: the next one runs tonight",
        "| shop\\_east | 700.0 MiB | 17.0.1.3 | 1201 named, 1195 held, 2 stored now, 3 elsewhere, **1 missing**: 0a/",
        "shop\\_promotion 17.0.1.0 to 17.0.2.0 with this release; shop\\_stock none to 17.0.1.0 since",
        "- Restore point lifeboat-2026.11.29-rc1-4f3a9c1e at 2026-11-29T01:58:12Z, 2/A7000130, timeline 3",
        "- Rehearsal of tenant shop\\_north: passed, restored in 38 s (700.0 MiB, 50.0 MiB of files), 42 checks in 4 s; failed: stock-quants-match",
        "```sh\nlifeboat restore --tenant shop_east --before-release 2026.11.29-rc1\nlifeboat",
        "s3:\\//acme-backups/odoo, region eu-central-1",
    ] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    assert!(lines.len() < 80, "{} lines", lines.len());
    assert_eq!(page, text(&checkpoint), "the same text every time");
}

#[test]
fn nothing_that_others_wrote_changes_the_page() {
    let mut checkpoint = sample::checkpoint();
    let evil = "x | y\n# Forged <script> [link](https://e.example) `a` \u{1b}[2J @all \u{202e}";
    checkpoint.gates[0].found = evil.to_owned();
    checkpoint.release.ticket = Some(evil.to_owned());
    checkpoint.tenants[0].files.missing_named = vec![evil.to_owned(); 30];
    checkpoint.gates[4].overridden.as_mut().unwrap().reason = evil.to_owned();
    checkpoint.rollback = vec![format!("echo {evil}"), "echo ```".to_owned()];
    let page = text(&checkpoint);
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert!(!page.lines().any(|line| line.starts_with("# Forged")));
    assert!(
        page.contains("x \\| y\\\\u\\{a\\}\\# Forged \\<script\\> \\[link\\]\\(https:\\//e.example\\)"),
        "{page}"
    );
    assert!(page.contains("````sh\n") && page.contains("\n````\n"), "the fence is longer than what is in it");
    assert!(page.contains("22 more"), "30 names are cut");
    checkpoint.rollback.clear();
    (checkpoint.point, checkpoint.base, checkpoint.rehearsal, checkpoint.drill) = (None, None, None, None);
    let page = text(&checkpoint);
    for part in ["No restore point", "No rehearsal", "No drill", "no tenant can be restored"] {
        assert!(page.contains(part), "{page}");
    }
}

//! The files of a report: the page, the test results, and what both say of each kind of drill.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;
#[path = "common/sample.rs"]
mod sample;

use restore_drill::report::compare::{Way, compare};
use restore_drill::report::controls::evidence;
use restore_drill::report::finding::State;
use restore_drill::report::verdict::Verdict;
use restore_drill::report::{Report, html, junit, markdown};

#[test]
fn a_failed_drill_looks_failed_and_one_that_proved_nothing_does_not_look_passed() {
    let verdict = |report: &Report| {
        let page = html::page(report);
        let at = page.find("<section class=\"verdict").unwrap();
        page[at..].split("</section>").next().unwrap().to_owned()
    };
    let (passed, failed) = (verdict(&sample::passed()), verdict(&sample::failed()));
    let unknown = verdict(&sample::could_not_run());
    for (text, class, word) in
        [(&passed, "passed", "PASSED"), (&failed, "failed", "FAILED"), (&unknown, "unknown", "COULD NOT RUN")]
    {
        assert!(text.starts_with(&format!("<section class=\"verdict {class}\">")), "{text}");
        assert!(text.contains(&format!("<p class=\"word\">{word}</p>")), "{text}");
    }
    let sign = |text: &str| text.split("</svg>").next().unwrap().split_once("<svg").unwrap().1.to_owned();
    assert!(sign(&passed) != sign(&failed) && sign(&failed) != sign(&unknown), "each has a sign of its own");
    assert!(passed.contains("<h1>8 of 11 parts of a recovery were exercised."), "{passed}");
    assert!(unknown.contains("it proves nothing"), "{unknown}");
    for report in [sample::failed(), sample::could_not_run()] {
        let page = html::page(&report);
        let first = page.split("<div class=\"details\">").next().unwrap();
        assert!(!first.contains("<span class=\"state passed\">"), "nothing on the first page looks right");
        assert!(first.contains("within it, but not proven"));
    }
}

#[test]
fn nothing_from_a_database_is_markup_and_nothing_is_loaded() {
    let page = html::page(&sample::hostile());
    for words in ["<script", "<img", "onerror=\"", "\u{202e}", "\u{1b}", "\u{0}", "\u{ffff}"] {
        assert!(!page.contains(words), "{words:?} is in the page");
    }
    assert!(page.contains("&lt;script&gt;"));
    for report in [sample::passed(), sample::failed(), sample::could_not_run()] {
        let page = html::page(&report);
        for words in ["src=", "href=", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(words), "{words:?} loads something");
        }
        for tag in ["details", "table", "section", "div", "svg", "ul", "dl", "span"] {
            let opened =
                page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}

#[test]
fn a_check_shows_its_query_what_was_expected_and_what_was_found() {
    let page = html::page(&sample::failed());
    for words in [
        "SELECT id FROM sale_order\nWHERE amount &lt; 0",
        "<dt>Expected</dt><dd>0 rows</dd>",
        "<dt>Found</dt><dd>2 rows</dd>",
        "<dt>Expected</dt><dd>at most 3 rows, until 2027-01-31: of 2019</dd>",
        "12 S00012: -3.50 EUR",
        "operations@example.com",
        "2026-12-07",
        "restore-drill run /etc/lifeboat/shop.toml",
        "3 wrong files",
    ] {
        assert!(page.contains(words), "{words:?} is not in the page");
    }
}

#[test]
fn test_results_count_nothing_as_passed_that_did_not_pass() {
    let head = |report: &Report| junit::render(report).lines().nth(1).unwrap().to_owned();
    let (passed, failed) = (sample::passed(), sample::failed());
    assert!(head(&passed).contains("failures=\"0\" errors=\"0\" skipped=\"4\""), "{}", head(&passed));
    // two stages, RTO, a check, the verdict
    assert!(head(&failed).contains("failures=\"5\" errors=\"0\" skipped=\"4\""), "{}", head(&failed));
    let unknown = junit::render(&sample::could_not_run());
    assert!(unknown.lines().nth(1).unwrap().contains("failures=\"0\" errors=\"3\""), "{unknown}");
    assert!(unknown.contains("name=\"files\" time=\"0.000\"><skipped"), "{unknown}");
    let hostile = junit::render(&sample::hostile());
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(hostile.chars().all(allowed));
    assert!(!hostile.contains("<script") && !hostile.contains("]]>"), "{hostile}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("junit.xml");
    lifeboat::disk::write_new_durable(&path, hostile.as_bytes()).unwrap();
    let parser = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
    match std::process::Command::new("python3").args(["-c", parser]).arg(&path).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => common::skip("a parser of XML", &format!("python3 cannot be started: {e}")),
    }
}

#[test]
fn markdown_has_the_record_too() {
    let text = markdown::render(&sample::failed());
    for words in [
        "8 of 11 parts of a recovery were exercised. Something is wrong",
        "Owner: operations@example.com, due 2026-12-07. Retest: `restore-drill run /etc/lifeboat/shop.toml --tenant retail_north`",
        "| run by | postgres@restore-1 |",
        "| report before | 20261123T040000Z-drill-00000007, SHA-256 ",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn a_failed_drill_is_a_test_that_failed_and_one_that_did_not_run_is_no_evidence() {
    let says = |report: &Report| evidence(report).into_iter().map(|one| one.says).collect::<Vec<String>>();
    let passed = says(&sample::passed());
    assert_eq!(
        (passed[0].as_str(), passed[2].as_str()),
        ("tested", "tested in part"),
        "Odoo was not started"
    );
    assert!(says(&sample::failed()).iter().all(|says| says == "tested, and the test failed"));
    assert!(says(&sample::could_not_run()).iter().all(|says| says.starts_with("no evidence")));
}

#[test]
fn two_drills_are_compared_by_what_got_better_and_worse() {
    let (passed, failed) = (sample::passed(), sample::failed());
    assert!(compare(&passed, &passed).is_empty());
    let worse = compare(&passed, &failed);
    let of = |all: &[restore_drill::report::compare::Difference], what: &str| {
        all.iter().find(|one| one.what == what).map(|one| (one.after.clone(), one.way))
    };
    assert_eq!(of(&worse, "verdict"), Some(("failed".into(), Way::Worse)));
    assert_eq!(of(&worse, "RTO").unwrap().1, Way::Worse);
    assert_eq!(of(&worse, "RPO"), None);
    assert_eq!(of(&worse, "stage files"), Some(("failed".into(), Way::Worse)));
    assert_eq!(of(&worse, "wrong files"), Some(("3".into(), Way::Worse)));
    let better = compare(&failed, &passed);
    assert!(better.iter().all(|one| one.way == Way::Better), "{better:?}");
    let mut noise = sample::passed();
    noise.stages[2].ms += noise.stages[2].ms / 20;
    assert!(compare(&passed, &noise).is_empty(), "no two restores take the same time");
    noise.stages[2].ms *= 2;
    assert_eq!(of(&compare(&passed, &noise), "stage restore").unwrap().1, Way::Worse);
    let unknown = compare(&passed, &sample::could_not_run());
    assert_eq!(of(&unknown, "RTO"), Some(("not measured".into(), Way::Worse)));
    assert_eq!(sample::could_not_run().stages[2].state, State::Unknown);
    assert_eq!(sample::could_not_run().verdict, Verdict::CouldNotRun);
}

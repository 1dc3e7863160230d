//! `lifeboat expire --html`: one page that needs nothing else, and the costs by the prices of `[rates]`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use lifeboat_tests::Cluster;
use serde_json::Value;

use crate::expire::{goes, old_site};

#[test]
fn the_plan_is_a_page_with_costs_and_only_its_owner_reads_it() {
    let cluster = Cluster::start_default();
    let (site, all) = old_site(&cluster);
    let text = fs::read_to_string(site.config()).unwrap();
    let with = |rates: &str| {
        fs::write(site.config(), text.replace("[rates]", &format!("[rates]\n{rates}"))).unwrap()
    };
    with("gb_month = 'cheap'");
    site.run(&["expire", "--dry-run"]).run().exits(4).says("rates.gb_month").says("a number such as");
    with("currency = 'EUR'\ngb_month = '1000000.5'\nretrieval_gb = '7'\nminimum_days = 30");
    site.run(&["expire", "--html", "plan.html"]).run().exits(2);
    let shown = site.run(&["expire", "--dry-run", "--html", "plan.html", "--json"]).run().ok().json();
    let page = fs::read_to_string(site.path("plan.html")).unwrap();
    let mode = fs::metadata(site.path("plan.html")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for id in all.iter().flat_map(|(dump, files)| [dump, files]) {
        assert!(page.contains(&format!("<code>{id}</code>")), "{id} is not on the page");
        let mark = if goes(&shown).contains(&id.as_str()) { "goes" } else { "stays" };
        assert!(page.contains(&format!("<title>{id} {mark}</title>")), "{id}: {mark}");
    }
    for outside in ["<script", "src=", "href=", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(outside), "the page has {outside}");
    }
    assert!(
        page.contains(&format!("{} snapshots not needed any more:", goes(&shown).len()))
            && page.contains("in the recovery window")
    );

    let number = |value: &Value| value.as_f64().unwrap();
    let class = &shown["costs"]["classes"]["shops"];
    let price = |bytes: &Value| number(bytes) / 1e9 * 1_000_000.5;
    let close =
        |one: f64, other: f64| assert!((one - other).abs() <= other.abs() * 1e-9, "{one} {other}: {shown}");
    close(number(&class["before_month"]), price(&class["before_bytes"]));
    close(number(&class["after_month"]), price(&class["after_bytes"]));
    let all = shown["plan"]["snapshots"].as_array().unwrap();
    let gone = all.iter().find(|one| one["tenant"] == "shop").unwrap();
    assert_eq!(number(&class["before_bytes"]) - number(&class["after_bytes"]), number(&gone["bytes"]));
    close(number(&class["read_once"]), number(&class["after_bytes"]) / 1e9 * 7.0);
    // It was stored 9 days ago: 21 of 30 days are paid for.
    let early = number(&class["early"]) / (price(&gone["bytes"]) * 21.0 / 30.0);
    assert!((early - 1.0).abs() < 0.01, "{early}: {shown}");
    let shown = site.run(&["expire", "--dry-run"]).run().ok().stdout;
    let plain = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        plain.contains("cost of shops:")
            && plain.contains(" EUR a month now (")
            && plain.contains("deleted early:"),
        "{shown}"
    );
    assert!(page.contains(" EUR</td>"), "{page}");
}

//! `lifeboat policy`: whom each class covers, whether its promises are met, and what could not be looked at.

use std::fs;
use std::time::Duration;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program, small_tenant};
use serde_json::Value;

/// Replaces everything from `[schedule]` on by this: the sections of people come after it.
fn write(site: &Site, sections: &str) {
    let text = fs::read_to_string(site.config()).unwrap();
    let begin = text.find("[schedule]").unwrap();
    fs::write(site.config(), format!("{}[schedule]\n{sections}", &text[..begin])).unwrap();
}

fn check(site: &Site, args: &[&str]) -> Program {
    site.run(&["policy", "check"]).args(args.to_vec())
}

/// The outcomes of a class, or of `all` (what concerns no single class), by what they are about.
fn outcomes(shown: &Outcome, class: &str) -> Vec<String> {
    let json = shown.json();
    let find = |all: &Value| all.as_array().unwrap().iter().find(|one| one["class"] == class).cloned();
    let place = if class == "all" { json.clone() } else { find(&json["classes"]).unwrap() };
    let one = |finding: &Value| {
        format!("{}: {}", finding["about"].as_str().unwrap(), finding["outcome"].as_str().unwrap())
    };
    place["findings"].as_array().unwrap().iter().map(one).collect()
}

const CLASSES: &str = "backup = '30 1 * * *'\nbase = '0 2 * * *'\n\
    [class.critical]\ntenants = ['shop']\nrpo = '26h'\nrto = '1h'\nwindow = '2d'\ndrill_every = '1d'\n\
    [class.standard]\ntenants = ['books*']\nrpo = '26h'\nwindow = '0s'\n";

#[test]
fn a_class_is_well_when_its_promises_are_met_and_everything_was_looked_at() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    small_tenant(&cluster, &site.data_dir(), "books", 4);
    check(&site, &[]).run().exits(4).says("has no recovery class");
    write(&site, CLASSES);

    // nothing is stored yet: nothing is known, and nothing is well
    let nothing = check(&site, &["--json"]).run().exits(3);
    assert_eq!(outcomes(&nothing, "all"), ["tenants: ok", "stored: unknown"]);
    assert_eq!(outcomes(&nothing, "standard"), ["schedule: ok", "state: unknown"]);

    // dumps only: one class promises more than that, the other does not
    site.back_up(&[]);
    let dumps = check(&site, &["--json"]).run().exits(3);
    assert_eq!(
        outcomes(&dumps, "critical"),
        ["schedule: ok", "state: ok", "window: fail", "drill: fail", "recovery: unknown"]
    );
    assert_eq!(outcomes(&dumps, "standard"), ["schedule: ok", "state: ok"]);
    let text = check(&site, &[]).run().exits(3).stdout;
    assert!(text.contains("FAIL  window    window = 2d; there is no base backup\n"), "{text}");
    assert!(
        text.contains("FAIL  drill     drill_every = 1d; no drill of these tenants is stored\n"),
        "{text}"
    );

    // all that is promised
    site.back_up(&["--kind", "base"]);
    site.drill("shop", "").run().ok();
    let well = check(&site, &["--json"]).run().ok();
    assert_eq!(well.json()["ok"], true);
    assert_eq!(
        outcomes(&well, "critical"),
        ["schedule: ok", "state: ok", "window: note", "drill: ok", "recovery: ok"],
        "the instance is younger than the window"
    );
    let shown = check(&site, &[]).env("COLUMNS", "80").run().ok();
    let wide = shown.stdout.lines().find(|line| line.chars().count() > 80 && !line.contains("instance prod"));
    assert_eq!(wide, None, "{shown}");
    assert!(shown.stdout.contains("critical: 1 tenant (shop)\n"), "{shown}");
    assert!(shown.stdout.ends_with(" ok, 0 failed\n"), "{shown}");

    // an RPO that neither the schedule nor what is stored meets
    site.edit("rpo = '26h'\nwindow", "rpo = '1s'\nwindow");
    std::thread::sleep(Duration::from_millis(2100));
    let late = check(&site, &["--json"]).run().exits(3);
    assert_eq!(outcomes(&late, "standard"), ["schedule: fail", "state: fail"]);
    site.edit("rpo = '1s'\nwindow", "rpo = '26h'\nwindow");

    // a server that does not answer may have more tenants; who asks only for the stored ones is answered
    cluster.stop();
    let unknown = check(&site, &["--json"]).run().exits(3);
    assert_eq!(outcomes(&unknown, "all"), ["tenants: unknown"]);
    let next = unknown.json()["findings"][0]["next"].as_str().unwrap().to_owned();
    let own = "; or pass --stored-only to check only tenants that have backups";
    assert!(next.ends_with(own) && next.len() > own.len(), "{next}");
    assert_eq!(outcomes(&check(&site, &["--stored-only", "--json"]).run().ok(), "all"), ["tenants: ok"]);

    // a repository that is not there
    fs::rename(&site.stored, site.path("elsewhere")).unwrap();
    site.edit("[odoo]", "[odoo]\ntenants = ['shop', 'books']");
    let gone = check(&site, &["--json"]).run().exits(3);
    assert_eq!(outcomes(&gone, "all"), ["tenants: ok", "stored: unknown"]);
    let unknown =
        ["schedule: ok", "state: unknown", "window: unknown", "drill: unknown", "recovery: unknown"];
    assert_eq!(outcomes(&gone, "critical"), unknown);
}

#[test]
fn a_tenant_without_a_class_or_with_two_is_named_and_one_that_is_gone_is_not_late() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for (name, seed) in [("shop", 3), ("shop_old", 4), ("lone", 5)] {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    write(
        &site,
        "backup = '30 1 * * *'\n[class.a]\ntenants = ['shop*']\nrpo = '26h'\nwindow = '0s'\n\
         [class.b]\ntenants = ['*_old', 'Lone']\nwindow = '0s'\n",
    );
    site.back_up(&[]);
    let shown = check(&site, &["--json"]).run().exits(3);
    let unclassed = shown.json()["unclassed"].clone();
    assert_eq!(
        (&unclassed[0]["tenant"], &unclassed[0]["classes"]),
        (&"lone".into(), &Vec::<Value>::new().into())
    );
    assert_eq!((&unclassed[1]["tenant"], &unclassed[1]["classes"][1]), (&"shop_old".into(), &"b".into()));
    let text = check(&site, &[]).run().exits(3).stdout;
    assert!(text.contains("  NO CLASS: tenant lone is in no class\n"), "{text}");
    assert!(text.contains("  2 CLASSES: tenant shop_old is in 2 classes: a ("), "{text}");
    let line =
        fs::read_to_string(site.config()).unwrap().lines().position(|line| line == "tenants = ['shop*']");
    assert!(
        text.contains(&format!("lifeboat.toml:{}: class.a.tenants: \"shop*\")", line.unwrap() + 1)),
        "{text}"
    );
    let of_two = text.find("  2 CLASSES: ").unwrap();
    let nexts = [text.find("[\"*\"] covers the rest\n").unwrap(), text.find("write its exact name").unwrap()];
    assert!(nexts[0] < of_two && of_two < nexts[1], "each has its next step: {text}");
    assert!(text.contains("\"Lone\" is no tenant, but lone is: upper and lower case differ"), "{text}");

    // a name in the class that is meant
    site.edit("['*_old', 'Lone']", "['shop_old', '*']");
    check(&site, &[]).run().ok();

    // shop is gone from the server: no backup of it is missing
    cluster.psql("postgres", "DROP DATABASE shop");
    site.edit("rpo = '26h'", "rpo = '1s'");
    std::thread::sleep(Duration::from_millis(1100));
    let gone = check(&site, &["--json"]).run();
    assert_eq!(gone.json()["classes"][0]["dropped"][0], "shop", "{gone}");
    assert_eq!(outcomes(&gone, "a"), ["schedule: fail"], "{gone}");
}

#[test]
fn classes_choose_what_a_backup_is_of() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for (name, seed) in [("shop", 3), ("books", 4), ("lone", 5)] {
        small_tenant(&cluster, &site.data_dir(), name, seed);
    }
    write(
        &site,
        "backup = '30 1 * * *'\n[class.a]\ntenants = ['shop']\nbackup = '0 * * * *'\n\
         [class.b]\ntenants = ['b*']\n[class.c]\ntenants = ['nobody']\n",
    );
    let stored = |args: &[&str]| -> Vec<String> {
        let report = site.back_up(args);
        let mut all: Vec<String> = report["tenants"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["tenant"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all
    };
    assert_eq!(stored(&["--class", "a"]), ["shop"]);
    assert_eq!(stored(&["--all-but-class", "a"]), ["books", "lone"]);
    assert_eq!(stored(&["--class", "a", "--class", "b"]), ["books", "shop"]);
    site.backup(&["--class", "c"]).run().exits(5).says("no tenant is of class c");
    site.backup(&["--class", "d"]).run().exits(2).says("there is no [class.d]; known classes: a, b, c");
    site.backup(&["--class", "a", "--kind", "base"]).run().exits(2).says(
        "the whole cluster: it cannot be combined with --tenant, --class, --all-but-class or another kind",
    );
    site.backup(&["--class", "a", "--tenant", "shop"]).run().exits(2);
    site.edit("[odoo]", "[odoo]\ntenants = ['shop', 'books']");
    assert_eq!(stored(&["--class", "b"]), ["books"]);
    site.edit("['b*']", "['b*', 'shop*']");
    site.edit("tenants = ['nobody']", "tenants = ['b*', '*']");
    let twice = stored(&["--all-but-class", "b"]);
    assert_eq!(twice, ["books", "shop"], "a tenant of two classes is not left out, shop is of a alone");
    let next = site.run(&["window", "--json"]).run().json()["next"].clone();
    let mut keys: Vec<&str> =
        next.as_array().unwrap().iter().map(|one| one["schedule"].as_str().unwrap()).collect();
    keys.sort();
    assert_eq!(keys, ["class.a.backup", "schedule.backup"]);
}

#[test]
fn drift_names_key_file_and_value_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(
            dir.path().join(name),
            format!("instance = 'prod'\nrepository.url = 's3://b/{name}'\n{text}"),
        )
        .unwrap();
    };
    let class = "[class.x]\ntenants = ['*']\nrpo = '24h'\n";
    file("a.toml", class);
    file("b.toml", "[class.x]\nrpo = '1d'\ntenants = ['*']\n");
    file(
        "c.toml",
        "repository.region = 'eu-west-1'\n[class.x]\ntenants = ['*']\nrpo = '1h'\n[postgres]\nuser = 'other'\n",
    );
    let run =
        |args: &[&str]| Program::lifeboat().cwd(dir.path()).args(["policy", "drift"]).args(args.to_vec());
    let same = run(&["a.toml", "b.toml"]).run().ok();
    assert_eq!(same.stdout, "no difference in the classes of 2 files, nor in what belongs to them\n");
    let shown = run(&["a.toml", "b.toml", "c.toml"]).run().exits(3);
    assert_eq!(
        shown.stdout,
        "class.x.rpo\n  1d  in a.toml:5, b.toml:4\n  1h  in c.toml:6\n\
         repository.region\n  not set  in a.toml, b.toml\n  \"eu-west-1\"  in c.toml:3\n\
         2 differences in 3 files\n"
    );
    run(&["a.toml", "c.toml", "--ignore", "repository.region", "--ignore", "class.*.rpo"]).run().ok();
    run(&["a.toml", "c.toml", "--ignore", "wal.slot"]).run().exits(2).says("none of the compared keys");
    run(&["a.toml"]).run().exits(2);
    run(&["a.toml", "none.toml"]).run().exits(5).says("none.toml");
    let json = run(&["a.toml", "c.toml", "--json"]).run().exits(3).json();
    assert_eq!(
        (&json["same"], &json["differences"][0]["values"][1]["places"][0]["line"]),
        (&false.into(), &6.into())
    );
    let secret = "AGE-SECRET-KEY-1QQQQ";
    file("d.toml", &format!("[seal]\nrecipients = ['{secret}']\n{class}"));
    let refused = run(&["a.toml", "d.toml"]).run().exits(4);
    assert!(refused.stderr.contains("d.toml:4") && !refused.stderr.contains(secret), "{refused}");
}

//! `lifeboat rollback plan` over real servers: exact numbers, and what is not known.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

use std::path::Path;
use std::time::Duration;

use lifeboat::odoo::counters::Last;
use lifeboat::postgres::Session;
use lifeboat_tests::checkpointed::{NOW, checkpointed, copies, counters, options, wait};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, Outcome, available_majors, load_real, real_tenants, small_tenant};
use serde_json::Value;

/// The server counts what a session did when that ends, or within a second.
const COUNTED_AFTER: Duration = Duration::from_millis(1500);

fn plan(site: &Site, release: &str, more: &[&str]) -> Outcome {
    site.run(&["rollback", "plan", "--release", release]).args(more.to_vec()).run()
}

/// The plan as JSON, with this exit code.
#[track_caller]
fn planned(site: &Site, release: &str, code: i32) -> Value {
    plan(site, release, &["--json"]).exits(code).json()
}

fn tenant<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let tenants = plan["tenants"].as_array().unwrap();
    tenants.iter().find(|tenant| tenant["tenant"] == name).unwrap_or_else(|| panic!("{name}: {plan}"))
}

/// Twenty minutes of business: the same rows in every tenant of Odoo.
fn business(cluster: &Cluster, name: &str) {
    let orders = "'name', 'SO-NEW-' || i, 'state', case when i <= 3 then 'sale' else 'draft' end, 'amount_total', 10.10";
    let all = [
        copies("sale_order", "true", 4, NOW, orders),
        copies("pos_order", "true", 2, NOW, "'name', 'POS-NEW-' || i, 'state', 'paid', 'amount_total', 0.05"),
        copies("account_payment", "payment_type = 'inbound'", 2, NOW, "'amount', 7.5"),
        copies(
            "account_payment",
            "payment_type = 'inbound'",
            1,
            NOW,
            "'amount', 2.5, 'payment_type', 'outbound'",
        ),
        copies(
            "stock_picking",
            "true",
            2,
            NOW,
            "'name', 'WH-NEW-' || i, 'state', case i when 1 then 'done' else 'assigned' end",
        ),
        copies("stock_move", "true", 5, NOW, "'state', 'done'"),
        copies(
            "account_move",
            "move_type = 'out_invoice'",
            3,
            NOW,
            "'name', 'INV-NEW-' || i, 'state', 'posted', 'amount_total', 100, 'sequence_number', 90000 + i",
        ),
        copies(
            "account_move",
            "move_type = 'out_invoice'",
            1,
            NOW,
            "'name', 'RINV-NEW', 'state', 'draft', 'move_type', 'out_refund', 'amount_total', 40",
        ),
        copies("ir_attachment", "store_fname is not null", 2, NOW, "'file_size', 1000"),
        format!(
            "update sale_order set write_date = {NOW} where id in (select id from sale_order order by id limit 6);"
        ),
    ];
    cluster.psql(name, &all.join("\n"));
}

/// What [`business`] wrote, as the plan must say it.
#[track_caller]
fn assert_business(tenant: &Value) {
    let written = &tenant["written"];
    let counts = |document: &str| {
        let one = &written[document];
        let of = |key: &str| one[key].as_u64();
        (of("after"), of("done"), of("maybe"))
    };
    assert_eq!(counts("sale-order"), (Some(4), Some(3), Some(0)), "{written}");
    assert_eq!(counts("pos-order"), (Some(2), Some(2), Some(0)));
    assert_eq!((counts("payment").0, counts("payment").2), (Some(3), Some(0)));
    assert_eq!(counts("picking"), (Some(2), Some(1), Some(0)));
    assert_eq!(counts("stock-move"), (Some(5), Some(5), Some(0)));
    assert_eq!(counts("invoice"), (Some(4), Some(3), Some(0)));
    assert_eq!(counts("bill").0, Some(0));
    assert_eq!((counts("attachment").0, &written["attachment"]["bytes"]), (Some(2), &2000.into()));
    let sum = |document: &str| {
        let sums = written[document]["sums"].as_object().unwrap_or_else(|| panic!("{document}: {written}"));
        sums.values().map(|sum| sum.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sum("sale-order"), ["40.40"]);
    assert_eq!(sum("pos-order"), ["0.10"]);
    assert_eq!(sum("payment"), ["12.50"], "what goes out is negative");
    assert_eq!(sum("invoice"), ["260.00"]);
    assert_eq!(written["sale-order"]["changed"], 6);
    assert_eq!(written["sale-order"]["first"], "SO-NEW-1");
    assert_eq!(written["sale-order"]["last"], "SO-NEW-4");
    assert_eq!(tenant["is_exact"], true);
}

#[test]
fn what_was_written_since_the_point_is_exact_and_the_restore_is_planned() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    small_tenant(&cluster, &site.data_dir(), "quiet", 3);
    site.back_up(&["--kind", "base"]);

    let evidence = checkpointed(&cluster, &site, "2026.11.20", &["quiet", "shop"]);
    let wal = cluster.data_dir().join("pg_wal").join(cluster.switch_wal());
    site.run(&["wal", "push"]).arg(&wal).run().ok();
    business(&cluster, "shop");
    cluster.psql("shop", "select nextval('ir_sequence_001') from generate_series(1, 4)");
    cluster.psql("shop", "update product_template set list_price = 0; delete from mail_mail");
    let products: u64 = cluster.psql("shop", "select count(*) from product_template").parse().unwrap();
    std::thread::sleep(COUNTED_AFTER);

    // Neither the identity nor anything else is needed.
    std::fs::rename(site.path("lifeboat-identity.txt"), site.path("away.txt")).unwrap();
    let plan_value = planned(&site, "2026.11.20", 0);
    let shop = tenant(&plan_value, "shop");
    assert_business(shop);
    assert_eq!(plan_value["way"], "image");
    assert_eq!(shop["numbers"][0]["sequence"], "ir_sequence_001");
    assert_eq!(shop["numbers"][0]["count"], 4);
    assert!(shop["numbers"][0]["of"].as_str().unwrap().starts_with("sale.order"), "{}", shop["numbers"]);
    let rows = shop["touched"]["tables"].as_array().unwrap();
    let of = |table: &str| rows.iter().find(|row| row["table"] == table).unwrap()["rows"].clone();
    assert_eq!(of("product_template")["updated"], products);
    assert_eq!(of("sale_order")["updated"], 6);
    assert!(of("mail_mail")["deleted"].as_u64().unwrap() > 0);
    assert!(shop["restore"]["snapshot"].as_str().unwrap().contains("-base-"), "{}", shop["restore"]);
    assert_eq!(shop["takes"]["takes"], "not-known");
    let quiet = tenant(&plan_value, "quiet");
    assert!(quiet["written"].as_object().unwrap().values().all(|one| one["after"] == 0), "{quiet}");
    assert_eq!(quiet["touched"]["tables"], serde_json::json!([]));

    let shown = plan(&site, "2026.11.20", &["--tenant", "shop"]).ok();
    for said in [
        "4 sale orders, 3 confirmed, 40.40 EUR; 6 older ones were changed",
        "SO-NEW-1 to SO-NEW-4",
        "restore --release 2026.11.20 --tenant shop --as shop_before_2026.11.20",
        "promote shop_before_2026.11.20 --as shop",
        "payments of shop: what providers",
    ] {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    assert!(!shown.stdout.contains("quiet"), "{shown}");
    plan(&site, "2026.11.20", &["--tenant", "nobody"]).exits(5).says("does not cover tenant nobody");
    asked_otherwise(&site, &evidence);
}

/// By cohort, from a file without the repository, and what is refused.
fn asked_otherwise(site: &Site, evidence: &Path) {
    plan(site, "2026.11.20", &["--cohort", "wave1"]).exits(5).says("there is no cohort wave1");
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config + "\n[cohort.wave1]\ntenants = ['shop']\n").unwrap();
    let value = plan(site, "2026.11.20", &["--cohort", "wave1", "--json"]).ok().json();
    assert_eq!(value["tenants"].as_array().unwrap().len(), 1);
    plan(site, "2026.11.21", &[]).exits(5).says("there is no checkpoint of release 2026.11.21");
    let file = evidence.to_str().unwrap();
    plan(site, "2026.11.21", &["--evidence", file]).exits(10).says("is the evidence of release 2026.11.20");
    let forged = site.path("forged.json");
    let mut bytes = std::fs::read(evidence).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(&forged, bytes).unwrap();
    let refused = plan(site, "2026.11.20", &["--evidence", forged.to_str().unwrap()]);
    assert!([Some(10), Some(11)].contains(&refused.code), "{refused}");
    // The repository cannot be reached: everything but the restore is known.
    let gone = site.run(&[
        "rollback",
        "plan",
        "--release",
        "2026.11.20",
        "--json",
        "--repository",
        "/nowhere/at/all",
    ]);
    let value = gone.args(["--evidence", file]).run().exits(3).json();
    assert_business(tenant(&value, "shop"));
    assert!(value["warnings"].to_string().contains("whether shop can be restored"), "{}", value["warnings"]);
}

#[test]
fn a_transaction_that_is_open_at_the_point_is_counted_on_its_own() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut open = runtime.block_on(async { Session::connect(&options(&cluster), "shop").await.unwrap() });
    let insert = copies("sale_order", "true", 2, NOW, "'name', 'OPEN-' || i")
        .replace("insert into sale_order", "insert into public.sale_order");
    let insert = insert.replace("from sale_order o", "from public.sale_order o");
    runtime.block_on(async {
        open.execute("begin", "begin").await.unwrap();
        open.execute("insert", insert).await.unwrap();
    });
    let settled = counters(&cluster, "shop").settled_before.unwrap();
    checkpointed(&cluster, &site, "1", &["shop"]);
    cluster.psql("shop", &copies("sale_order", "true", 3, NOW, "'name', 'LATER-' || i"));
    runtime.block_on(async { open.execute("commit", "commit").await.unwrap() });
    let value = planned(&site, "1", 3);
    let orders = &tenant(&value, "shop")["written"]["sale-order"];
    assert_eq!((&orders["after"], &orders["maybe"]), (&3.into(), &2.into()), "{orders}");
    let after = counters(&cluster, "shop").settled_before.unwrap();
    assert!(settled < after, "it was open: {settled} {after}");
}

#[test]
fn a_dropped_column_and_an_upgraded_module_send_the_database_back() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "2", &["shop"]);
    cluster.psql(
        "shop",
        "alter table sale_order drop column client_order_ref; alter table sale_order add x_flag boolean",
    );
    let value = planned(&site, "2", 3);
    let reasons = tenant(&value, "shop")["reasons"].as_array().unwrap().clone();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert_eq!(
        (&reasons[0]["column"], &reasons[0]["change"]),
        (&"client_order_ref".into(), &"dropped".into())
    );
    assert_eq!(tenant(&value, "shop")["way"], "database");
    cluster.psql("shop", "update ir_module_module set latest_version = '17.0.9.9' where name = 'base'");
    let shown = plan(&site, "2", &[]).exits(3);
    for said in
        ["column sale_order.client_order_ref was dropped", "module base was", "and is 17.0.9.9", "stop Odoo"]
    {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    assert!(shown.stdout.lines().all(|line| !line.contains("the image alone")), "{shown}");
}

#[test]
fn an_added_column_asks_for_a_check_alone() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "3", &["shop"]);
    cluster.psql("shop", "alter table sale_order add x_flag boolean");
    assert_eq!(planned(&site, "3", 3)["way"], "image-after-check");
    cluster.psql("shop", "alter table sale_order add x_must int not null default 1");
    assert_eq!(planned(&site, "3", 3)["way"], "image-after-check", "an older program need not fill it");
    cluster.psql("shop", "alter table sale_order alter x_must drop default");
    assert_eq!(planned(&site, "3", 3)["way"], "database");
}

#[test]
fn after_a_reset_or_a_restart_changed_rows_are_not_known_and_never_0() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "4", &["shop"]);
    cluster.psql("shop", "update product_template set list_price = 0");
    cluster.psql("shop", "select pg_stat_reset()");
    std::thread::sleep(COUNTED_AFTER);
    let touched = |code| tenant(&planned(&site, "4", code), "shop")["touched"].clone();
    let reset = touched(3);
    assert_eq!(reset["known"], "no", "{reset}");
    assert!(reset["why"].as_str().unwrap().contains("were reset"), "{reset}");
    checkpointed(&cluster, &site, "5", &["shop"]);
    cluster.restart();
    let value = planned(&site, "5", 3);
    let why = tenant(&value, "shop")["touched"]["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("the server was restarted after the point"), "{why}");
    assert_eq!(tenant(&value, "shop")["written"]["sale-order"]["after"], 0, "sequences tell all the same");
}

#[test]
fn a_tenant_that_is_gone_or_another_one_is_said_to_be() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for name in ["gone", "other", "shop"] {
        small_tenant(&cluster, &site.data_dir(), name, 9);
    }
    checkpointed(&cluster, &site, "6", &["gone", "other", "shop"]);
    cluster.psql("postgres", "drop database gone");
    cluster.psql("postgres", "drop database other");
    cluster.copy_db("shop", "other", false).unwrap();
    let value = planned(&site, "6", 3);
    assert_eq!(tenant(&value, "gone")["way"], "database");
    assert_eq!(tenant(&value, "gone")["reasons"][0]["missing"], true);
    assert_eq!(tenant(&value, "other")["reasons"][0]["because"], "gone");
    assert_eq!(tenant(&value, "shop")["way"], "image");
    let steps = value["steps"].to_string();
    assert!(steps.contains("--tenant gone --as gone"), "{steps}");
    // without the file of this host
    std::fs::remove_file(site.path("lifeboat-state/prod/checkpoints/6/counters-shop.json")).unwrap();
    let value = planned(&site, "6", 3);
    assert_eq!(tenant(&value, "shop")["way"], "not-known");
    let forged = site.path("lifeboat-state/prod/checkpoints/6/counters-shop.json");
    std::fs::write(&forged, counters(&cluster, "shop").to_json().unwrap()).unwrap();
    let shown = plan(&site, "6", &[]).exits(3);
    assert!(words(&shown).contains("is not what was signed"), "{shown}");
}

#[test]
fn what_is_no_table_of_odoo_is_refused_by_name_and_stops_nothing_else() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "odd", 9);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    checkpointed(&cluster, &site, "7", &["odd", "shop"]);
    cluster.psql(
        "odd",
        "alter table sale_order rename to hidden; create view sale_order as select * from hidden; \
         alter table pos_order drop column amount_total cascade; \
         alter table pos_order add amount_total numeric generated always as (amount_paid * 2) stored; \
         create domain money_of_his as numeric check (value > -1); \
         alter table account_payment alter amount type money_of_his",
    );
    business_of_the_rest(&cluster, "odd");
    business(&cluster, "shop");
    let value = planned(&site, "7", 3);
    let odd = tenant(&value, "odd");
    let why = |document: &str| odd["written"][document]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why("sale-order").contains("sale_order is a view, not a table"), "{odd}");
    assert!(why("pos-order").contains("column pos_order.amount_total does not have the type"), "{odd}");
    assert!(why("payment").contains("column account_payment.amount does not have the type"), "{odd}");
    assert_eq!(odd["written"]["stock-move"]["after"], 5);
    assert_business(tenant(&value, "shop"));
}

fn business_of_the_rest(cluster: &Cluster, name: &str) {
    cluster.psql(name, &copies("stock_move", "true", 5, NOW, "'state', 'done'"));
}

#[test]
fn counters_are_those_of_the_catalogs_on_every_major() {
    for major in available_majors() {
        assert_counters(&Cluster::start(major));
    }
}

fn assert_counters(cluster: &Cluster) {
    let site = Site::local(cluster);
    small_tenant(cluster, &site.data_dir(), "shop", 9);
    let before = counters(cluster, "shop");
    let last: i64 = cluster.psql("shop", "select last_value from sale_order_id_seq").parse().unwrap();
    assert_eq!(before.ids_of("sale_order").unwrap().last, Last::At(last));
    assert!(before.table("sale_order").unwrap().columns["name"].starts_with("character varying"));
    assert!(before.tables.is_sorted_by(|a, b| (&a.schema, &a.name) <= (&b.schema, &b.name)));
    assert_eq!(before.digest().unwrap(), before.clone().digest().unwrap());
    cluster.psql("shop", "create role reader login; create temporary table t (id serial)");
    wait(async {
        let options = lifeboat::postgres::PostgresOptions { user: "reader".into(), ..options(cluster) };
        let mut session = Session::connect(&options, "shop").await.unwrap();
        let seen = lifeboat::odoo::counters::Counters::take(&mut session).await.unwrap();
        assert_eq!(seen.ids_of("sale_order").unwrap().last, Last::NotReadable);
    });
}

#[test]
fn real_tenants_have_exact_numbers_too() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let loaded: Vec<String> = real_tenants()
        .into_iter()
        .filter(|name| load_real(&cluster, &site.data_dir(), name, name).is_some())
        .collect();
    if loaded.is_empty() {
        lifeboat_tests::skip!("no real tenant: TEST_ODOO_TENANTS names their folder");
    }
    let names: Vec<&str> = loaded.iter().map(String::as_str).collect();
    checkpointed(&cluster, &site, "8", &names);
    business(&cluster, names[0]);
    std::thread::sleep(COUNTED_AFTER);
    let value = planned(&site, "8", 3);
    assert_business(tenant(&value, names[0]));
    assert_eq!(value["way"], "image");
    for other in &names[1..] {
        let written = tenant(&value, other)["written"].as_object().unwrap();
        assert!(written.values().all(|one| one["after"] == 0), "{other}: {written:?}");
    }
}

/// One approval is enough; there was no drill.
const TIER: &str =
    "\n[tier.standard]\nnot_required = [\"drill\", \"migration\"]\noverride = [\"freeze\", \"agent\"]\n";

/// Runs a printed command with more arguments.
fn run_printed(site: &Site, command: &str, more: &[&str]) -> Outcome {
    let words: Vec<&str> = command.strip_prefix("lifeboat ").unwrap().split(' ').collect();
    site.run(&words).args(more.to_vec()).run()
}

#[test]
fn the_commands_of_the_plan_bring_the_tenant_back_to_a_real_checkpoint() {
    let wal = [("wal_level", "replica"), ("max_wal_senders", "5")];
    let settings = wal.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let site = Site::local(&cluster);
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config + TIER).unwrap();
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    site.back_up(&["--kind", "base"]);
    let agent = site.run(&["agent", "--no-progress"]).spawn();
    let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
    let begun = std::time::Instant::now();
    while cluster.psql("postgres", streams) != "1" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the agent does not stream");
        std::thread::sleep(Duration::from_millis(50));
    }
    site.run(&["checkpoint", "--release", "9", "--approved-by", "anna"]).run().ok();
    business(&cluster, "shop");
    cluster.psql(
        "shop",
        "alter table product_template drop column weight; update product_template set list_price = 0",
    );
    std::thread::sleep(COUNTED_AFTER);

    let value = planned(&site, "9", 0);
    let shop = tenant(&value, "shop");
    assert_eq!(shop["way"], "database");
    assert_eq!(shop["written"]["sale-order"]["after"], 4, "{shop}");
    let commands: Vec<&str> =
        value["steps"].as_array().unwrap().iter().filter_map(|step| step["command"].as_str()).collect();
    let identity = site.path("lifeboat-identity.txt");
    run_printed(&site, commands[0], &["--yes", "--identity", identity.to_str().unwrap()]).ok();
    let promoted =
        run_printed(&site, commands[1], &["--yes-replace", "shop", "--disconnect", "--json"]).ok().json();
    let new = "select count(*) from sale_order where name like 'SO-NEW-%'";
    assert_eq!(cluster.psql("shop", new), "0", "the state of the point");
    assert_ne!(cluster.psql("shop", "select sum(list_price) from product_template"), "0");
    assert_eq!(cluster.psql("shop", "select count(weight) from product_template where false"), "0");
    let undo = promoted["undo"].as_str().unwrap().to_owned();
    let step = value["steps"].as_array().unwrap().iter().find(|step| step["command"] == commands[1]).unwrap();
    let printed = step["undo"].as_str().unwrap();
    let (begin, _) = printed.split_once("TIME").unwrap();
    assert!(undo.starts_with(begin), "{undo} is not {printed}");
    run_printed(&site, &undo, &["--yes-replace", "shop"]).ok();
    assert_eq!(cluster.psql("shop", new), "4", "as before");
    drop(agent);
}

//! What is consistent and gone shows only beside earlier dumps.

use serde_json::Value;

use crate::shop::{Shop, state};

/// What a damage is called, the statement, and a word of the reason.
const LOSSES: [(&str, &str, &str); 5] = [
    ("prices", "UPDATE product_template SET list_price = 0", "product_template.list_price"),
    ("passwords", "UPDATE res_users SET password = NULL", "password"),
    (
        "a foreign key",
        "ALTER TABLE sale_order_line DROP CONSTRAINT sale_order_line_order_id_fkey",
        "foreign key",
    ),
    (
        "another tenant",
        "UPDATE ir_config_parameter SET value = gen_random_uuid() WHERE key = 'database.uuid'",
        "database.uuid",
    ),
    ("exchange rates", "DELETE FROM res_currency_rate", "res_currency_rate"),
];

fn reasons(report: &Value) -> Vec<String> {
    let all = report["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned());
    all.filter(|reason| reason.starts_with("backup before: ")).collect()
}

#[test]
fn what_was_lost_since_the_dump_before_fails_the_drill_by_name() {
    let shop = Shop::open();
    let tenant = shop.tenants[0].clone();
    let has = |sql: &str| {
        let table = sql.split_whitespace().find(|word| word.contains('_')).unwrap();
        shop.cluster.psql(&tenant, &format!("SELECT EXISTS (SELECT FROM {table})")) == "t"
    };
    shop.back_up(&[]);
    let first = shop.drill(&tenant, "").run().ok().json();
    assert_eq!(state(&first, "backup before"), "not-run", "there is none yet");
    assert_eq!(state(&first, "base checks"), "done", "{:#}", first["findings"]);
    shop.cluster.psql(&tenant, "UPDATE res_partner SET write_date = now() WHERE id = 1");
    shop.back_up(&[]);
    let ordinary = shop.drill(&tenant, "").run().ok().json();
    assert_eq!(state(&ordinary, "backup before"), "done", "{:#}", ordinary["findings"]);

    let mut expected = Vec::new();
    for (name, sql, word) in LOSSES {
        if !has(sql) && lifeboat_tests::real_tenants().is_empty() {
            continue; // a made-up tenant has few tables
        }
        shop.cluster.psql(&tenant, sql);
        expected.push((name, word));
    }
    shop.back_up(&[]);
    let lost = shop.drill(&tenant, "").run().exits(1).json();
    assert!(!expected.is_empty());
    for (name, word) in expected {
        assert!(reasons(&lost).iter().any(|reason| reason.contains(word)), "{name}: {:#?}", reasons(&lost));
    }
}

#[test]
fn a_day_of_whole_orders_is_missed_at_a_point_in_time_too() {
    let shop = Shop::open();
    let tenant = shop.tenants[0].clone();
    shop.back_up(&[]);
    shop.back_up(&["--kind", "base"]);
    let whole = shop.now();
    shop.cluster.psql(
        &tenant,
        "SET session_replication_role = replica; \
         DELETE FROM sale_order WHERE id IN (SELECT id FROM sale_order ORDER BY id LIMIT 40)",
    );
    shop.archive();
    let good = shop.drill(&tenant, &format!("target = {whole:?}")).run().ok().json();
    // What neutralizing changes was left out, and is named.
    assert_eq!(state(&good, "backup before"), "not-run", "{:#}", good["findings"]);
    let lost = shop.drill(&tenant, "target = \"latest\"").run().exits(1).json();
    assert_eq!(state(&lost, "backup before"), "failed", "{:#}", lost["reasons"]);
    assert!(reasons(&lost)[0].contains("sale_order"), "{:#?}", reasons(&lost));
}

#[test]
fn what_was_lost_weeks_ago_fails_the_drill_until_it_is_accepted() {
    let shop = Shop::made_up(&["t1"]);
    let edit = |sql: &str| drop(shop.cluster.psql("t1", sql));
    let work = || edit("UPDATE res_partner SET write_date = now() WHERE id = 1");
    let back_up = || shop.back_up(&[])["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned();
    let proved = back_up();
    shop.drill("t1", "").run().ok();
    edit("DELETE FROM mail_mail; DELETE FROM mail_message");
    back_up();
    work();
    // Orders that came after the dump of that drill, and are gone again.
    edit(
        "INSERT INTO sale_order SELECT (jsonb_populate_record(o, jsonb_build_object('id', nextval('sale_order_id_seq'), \
         'name', 'W' || n, 'state', 'sale', 'create_date', '2026-11-29 10:00'))).* \
         FROM sale_order o, generate_series(1, 9) n WHERE o.id = (SELECT min(id) FROM sale_order)",
    );
    let between = back_up();
    edit("DELETE FROM sale_order WHERE name ~ '^W[0-9]$'");
    back_up();
    let lost = shop.drill("t1", "").run().exits(1).json();
    let said = reasons(&lost);
    let wanted = [
        format!("backup before: since {proved}: mail_message: the table is empty"),
        format!(
            "backup before: since {between}: sale_order: 9 of 9 confirmed rows made on 2026-11-29 are gone"
        ),
    ];
    assert_eq!(said.len(), wanted.len(), "each of them once: {said:#?}");
    for wanted in wanted {
        assert!(said.iter().any(|one| one.starts_with(&wanted)), "{wanted}: {said:#?}");
    }

    let accept =
        "[[accept]]\ncheck = \"backup before\"\nmax = 2\nreason = \"an experiment\"\nuntil = \"2999-01-01\"";
    let accepted = shop.drill("t1", accept).run().ok().json();
    assert_eq!(state(&accepted, "backup before"), "done", "{:#}", accepted["findings"]);
    work();
    back_up();
    let later = shop.drill("t1", "").run().ok().json();
    assert_eq!(state(&later, "backup before"), "done", "{:#}", later["findings"]);
}

#[test]
fn the_first_drill_of_a_tenant_compares_with_its_oldest_dump() {
    let shop = Shop::made_up(&["t1"]);
    shop.back_up(&[]);
    shop.cluster.psql("t1", "UPDATE product_template SET list_price = 0");
    for _ in 0..2 {
        shop.cluster.psql("t1", "UPDATE res_partner SET write_date = now() WHERE id = 1");
        shop.back_up(&[]);
    }
    let said = reasons(&shop.drill("t1", "").run().exits(1).json());
    assert!(said.len() == 1 && said[0].contains("product_template.list_price"), "{said:#?}");
}

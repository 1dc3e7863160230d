//! `lifeboat rollback salvage` over real servers: what was written after the point is exported exactly, the
//! same bytes each time, and what cannot be exported is named.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lifeboat_tests::checkpointed::{NOW, checkpointed, copies};
use lifeboat_tests::compare::database_digest;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, load_all_real, small_tenant};
use serde_json::Value;

/// The copy of tenant `shop` at the point.
const COPY: &str = "shop_before_7";

/// A tenant with a checkpoint, and its copy at the point.
fn at_point(cluster: &Cluster) -> Site {
    let site = Site::local(cluster);
    small_tenant(cluster, &site.data_dir(), "shop", 9);
    let gone = "'name', 'SO-GONE', 'state', 'draft', 'amount_total', 3";
    cluster.psql("shop", &copies("sale_order", "true", 1, "timestamp '2025-06-01'", gone));
    cluster.psql("shop", &lines("sale_order_line", "order_id", "sale_order", "name = 'SO-GONE'", 1));
    checkpointed(cluster, &site, "7", &["shop"]);
    cluster.copy_db("shop", COPY, false).unwrap();
    site
}

fn salvage(site: &Site, to: &str, more: &[&str]) -> Outcome {
    let command =
        ["rollback", "salvage", "--release", "7", "--tenant", "shop", "--against", COPY, "--to", to];
    site.run(&command).args(more.to_vec()).run()
}

/// SQL that gives each of these documents so many copies of the first row of a table of lines.
fn lines(table: &str, parent: &str, heads: &str, filter: &str, count: u32) -> String {
    format!(
        "insert into {table} select (jsonb_populate_record(one.row, jsonb_build_object( \
           'id', nextval(pg_get_serial_sequence('public.{table}', 'id')), '{parent}', h.id))).* \
         from (select t as row from {table} t where {parent} is not null order by id limit 1) one, \
           {heads} h, generate_series(1, {count}) where h.{filter};"
    )
}

/// Twenty minutes of business.
fn business(cluster: &Cluster) {
    let partner = "insert into res_partner (name, type, email, ref, parent_id) \
        select E'=Evil \"GmbH\"\\n@corp ' || repeat('x', 10000), 'contact', 'evil@example.com', 'NEW-1', null; \
        insert into res_partner (name, type, email, ref, parent_id) \
        select 'Contact', 'contact', 'contact@example.com', 'NEW-2', id from res_partner where ref = 'NEW-1';";
    let buyer = "(select id from res_partner where ref = 'NEW-2')";
    let all = [
        partner.to_owned(),
        copies(
            "sale_order",
            "true",
            3,
            NOW,
            &format!("'name', 'SO-NEW-' || i, 'state', 'sale', 'amount_total', 10.10, 'partner_id', {buyer}"),
        ),
        copies(
            "sale_order",
            "true",
            1,
            NOW,
            "'name', E'=2+3\\n\"a\",b', 'amount_total', -0.05, 'currency_id', 2, 'note', '-1+cmd'",
        ),
        lines("sale_order_line", "order_id", "sale_order", "name like 'SO-NEW-%'", 2),
        copies("pos_order", "true", 2, NOW, "'name', 'POS-NEW-' || i, 'state', 'paid', 'amount_total', 0.05"),
        lines("pos_order_line", "order_id", "pos_order", "name like 'POS-NEW-%'", 3),
        "insert into account_tax_sale_order_line_rel select l.id, 1 from sale_order_line l join sale_order o \
           on o.id = l.order_id where o.name like 'SO-NEW-%';"
            .to_owned(),
        lines("pos_payment", "pos_order_id", "pos_order", "name like 'POS-NEW-%'", 1),
        copies("account_payment", "payment_type = 'inbound'", 2, NOW, "'amount', 7.5, 'payment_reference', 'P-NEW'"),
        copies(
            "account_payment",
            "payment_type = 'inbound'",
            1,
            NOW,
            "'amount', 2.5, 'payment_type', 'outbound', 'payment_reference', 'P-NEW'",
        ),
        "select setval('account_move_id_seq', 900000);".to_owned(),
        lines("account_move", "payment_id", "account_payment", "payment_reference = 'P-NEW'", 1)
            .replace("'payment_id', h.id", "'payment_id', h.id, 'name', 'PAY-NEW-' || h.id"),
        copies("stock_picking", "true", 2, NOW, "'name', 'WH-NEW-' || i"),
        lines("stock_move", "picking_id", "stock_picking", "name like 'WH-NEW-%'", 2),
        lines("stock_move_line", "picking_id", "stock_picking", "name like 'WH-NEW-%'", 1),
        copies("stock_move", "picking_id is null", 4, NOW, ""),
        copies(
            "account_move",
            "move_type = 'out_invoice'",
            2,
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
        copies(
            "account_move",
            "move_type = 'in_invoice'",
            1,
            NOW,
            "'name', 'BILL-NEW', 'state', 'draft', 'amount_total', 12.34",
        ),
        "select setval('account_move_line_id_seq', 900000);".to_owned(),
        lines("account_move_line", "move_id", "account_move", "name like '%INV-NEW%'", 3),
        lines("account_move_line", "move_id", "account_move", "name like 'PAY-NEW-%'", 2),
        copies("ir_attachment", "store_fname is not null", 2, NOW, "'res_model', 'sale.order'"),
        copies("ir_attachment", "store_fname is not null", 2, NOW, "'res_model', 'res.partner'"),
        masters(),
        // a part of a payment pays an invoice of the point, the rest a new one
        "insert into account_partial_reconcile (debit_move_id, credit_move_id, amount, debit_amount_currency, \
           credit_amount_currency) select d.id, c.id, a, a, a from (values (5.25, 'min'), (2.25, 'max')) v (a, which), \
           lateral (select max(l.id) id from account_move_line l join account_move m on m.id = l.move_id \
             where m.payment_id = (select min(id) from account_payment where payment_reference = 'P-NEW')) c, \
           lateral (select case which when 'min' then min(l.id) else max(l.id) end id from account_move_line l \
             join account_move m on m.id = l.move_id where m.move_type = 'out_invoice' \
             and m.name = case which when 'min' then 'INV/2025/00001' else 'INV-NEW-1' end) d;"
            .to_owned(),
        "update sale_order set client_order_ref = '@changed' where id = 1;".to_owned(),
        "update sale_order_line set price_unit = 0 where id = (select min(id) from sale_order_line where order_id = 2);"
            .to_owned(),
        "delete from sale_order_line where order_id = (select id from sale_order where name = 'SO-GONE');".to_owned(),
        "delete from sale_order where name = 'SO-GONE';".to_owned(),
    ];
    cluster.psql("shop", &all.join("\n"));
}

/// Master data: changed, new and deleted; and what nobody changed but Odoo.
fn masters() -> String {
    "update res_partner set street = '=Gasse 5', customer_rank = 9 where id = 5; \
     update res_partner set customer_rank = 9, write_date = now() where id = 6; \
     update product_template set list_price = 77.77 where id = 3; \
     insert into product_template (uom_id, detailed_type, name, list_price) values (1, 'consu', '{\"en_US\": \"New\"}', 4); \
     delete from account_tax where id = (select max(id) from account_tax);"
        .to_owned()
}

fn kind<'a>(summary: &'a Value, kind: &str) -> &'a Value {
    &summary["kinds"][kind]
}

/// What [`business`] wrote, to the row and to the cent.
#[track_caller]
fn assert_business(summary: &Value) {
    let counts = |of: &str, document: &str| {
        let one = &kind(summary, of)["documents"][document];
        (one["new"].as_u64(), one["changed"].as_u64(), one["deleted"].as_u64(), one["totals"].to_string())
    };
    let line = |of: &str, table: &str| kind(summary, of)["lines"][table].as_u64();
    let new = |count: u64, totals: &str| (Some(count), Some(0), Some(0), totals.to_owned());
    assert_eq!(
        counts("sale-orders", "sale-order"),
        (Some(4), Some(2), Some(1), "{\"EUR\":\"30.30\",\"USD\":\"-0.05\"}".to_owned()),
        "{summary:#}"
    );
    assert_eq!(line("sale-orders", "sale_order_line"), Some(6));
    assert_eq!(counts("pos-orders", "pos-order"), new(2, "{\"EUR\":\"0.10\"}"));
    assert_eq!((line("pos-orders", "pos_order_line"), line("pos-orders", "pos_payment")), (Some(6), Some(2)));
    assert_eq!(counts("payments", "payment"), new(3, "{\"EUR\":\"12.50\"}"), "what goes out is negative");
    assert_eq!(line("payments", "account_move"), Some(3));
    assert_eq!(counts("pickings", "picking"), new(2, "{}"));
    assert_eq!((line("pickings", "stock_move"), line("pickings", "stock_move_line")), (Some(4), Some(2)));
    assert_eq!(counts("invoices", "invoice"), new(3, "{\"EUR\":\"160.00\"}"));
    assert_eq!(counts("invoices", "bill"), new(1, "{\"EUR\":\"-12.34\"}"));
    assert_eq!(line("invoices", "account_move_line"), Some(9));
    assert_eq!(counts("attachments", "attachment"), new(2, "{}"), "those of partners are not exported");
    assert_eq!(summary["partners"], 2, "a contact and its company");
    let differ = |new: u64, changed: u64, deleted: u64| serde_json::json!({ "new": new, "changed": changed, "deleted": deleted, "not_listed": 0 });
    let expected = serde_json::json!({
        "partners": differ(0, 1, 0), "products": differ(1, 1, 0), "taxes": differ(0, 0, 1)
    });
    assert_eq!(summary["masters"], expected, "new partners are exported, and ranks are Odoo's own");
    assert_eq!(summary["not_exported"], serde_json::json!([]));
    let notes = summary["notes"].to_string();
    for note in [
        "1 row of master data differ only",
        "4 new stock moves without a transfer",
        "3 new journal entries that are no invoices",
    ] {
        assert!(notes.contains(note), "{note:?} is not in {notes}");
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| entry.file_type().unwrap().is_file());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn what_was_written_after_the_point_is_exported_exactly_and_the_same_each_time() {
    let cluster = Cluster::start_default();
    let site = at_point(&cluster);
    business(&cluster);
    let before = database_digest(&cluster, "shop");
    // Neither the identity nor the files of the tenant are needed.
    std::fs::rename(site.path("lifeboat-identity.txt"), site.path("away.txt")).unwrap();

    let dry = salvage(&site, "first", &["--dry-run", "--json"]).ok().json();
    assert_business(&dry);
    assert!(!site.path("first").exists(), "a dry run writes nothing");
    let shown = salvage(&site, "first", &["--dry-run"]).ok();
    for said in ["4 sale orders, 30.30 EUR, -0.05 USD", "with 6 of sale_order_line", "1 sale order deleted"] {
        assert!(shown.stdout.contains(said), "{said:?} is not in {shown}");
    }
    let summary = salvage(&site, "first", &["--json"]).ok().json();
    assert_eq!(summary, dry);
    salvage(&site, "second", &[]).ok();
    let (first, second) = (files(&site.path("first")), files(&site.path("second")));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs");
        let mode = std::fs::metadata(site.path("first").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::metadata(site.path("first")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(serde_json::from_slice::<Value>(&first["summary.json"]).unwrap(), summary);
    assert_eq!(database_digest(&cluster, "shop"), before, "the source was touched");

    contents(&first);
    attached(&site, &summary, &first["attachments.jsonl"]);
    refused(&site);
}

/// The content of attachments: each file once, named by its SHA-1; one that is missing is named.
fn attached(site: &Site, summary: &Value, rows: &[u8]) {
    assert_eq!(summary["files"], 1, "two attachments share one file");
    let row: Value = serde_json::from_slice(rows.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let name = row["values"]["store_fname"].as_str().unwrap();
    let stored = site.data_dir().join("filestore/shop").join(name);
    let copies = files(&site.path("first/attachments"));
    let (copy, bytes) = copies.first_key_value().unwrap();
    assert_eq!((copies.len(), name.rsplit('/').next()), (1, Some(copy.as_str())));
    assert_eq!(*bytes, std::fs::read(&stored).unwrap());
    std::fs::write(&stored, "other").unwrap();
    salvage(site, "altered", &[]).exits(10).says(copy);
    assert!(!site.path("altered").exists(), "half of it would look complete");
    std::fs::remove_file(&stored).unwrap();
    let shown = salvage(site, "without", &[]).exits(3);
    assert!(shown.stdout.contains("does not exist in the filestore"), "{shown}");
    assert!(site.path("without/attachments.jsonl").exists(), "its row is exported");
    std::fs::rename(site.data_dir(), site.path("elsewhere")).unwrap();
    let noted = salvage(site, "nowhere-else", &[]).ok();
    assert!(noted.stdout.contains("the filestore of shop is not on this host"), "{noted}");
}

/// The cells of a CSV file, as RFC 4180 has them.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if is_quoted && rest.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(!is_quoted && row.is_empty() && cell.is_empty(), "the file ends in a row");
    rows
}

/// What is in the files.
fn contents(files: &BTreeMap<String, Vec<u8>>) {
    let lines = |name: &str| -> Vec<Value> {
        let text = std::str::from_utf8(&files[name]).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let orders = lines("sale-orders.jsonl");
    assert_eq!(orders.len(), 4);
    let names: Vec<&str> = orders.iter().map(|order| order["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["SO-NEW-1", "SO-NEW-2", "SO-NEW-3", "=2+3\n\"a\",b"]);
    assert_eq!(orders[0]["total"], serde_json::json!({ "amount": "10.10", "currency": "EUR" }));
    assert_eq!(orders[0]["values"]["amount_total"], "10.10");
    let buyer = &orders[0]["links"]["partner_id"];
    assert_eq!((&buyer["key"]["ref"], &buyer["at_point"]), (&"NEW-2".into(), &false.into()), "{buyer}");
    let line = &orders[0]["lines"]["sale_order_line"][1];
    assert_eq!(line["values"]["order_id"], orders[0]["id"]);
    assert_eq!(line["taxes"][0]["key"]["name"], "20%", "{line}");
    let product = &line["links"]["product_id"];
    assert!(product["key"]["name"].is_string() && product["key"]["barcode"].is_string(), "{product}");
    assert_eq!(product["at_point"], true);
    let partners = lines("partners.jsonl");
    assert_eq!(partners[0]["values"]["name"].as_str().unwrap().len(), "=Evil \"GmbH\"\n@corp ".len() + 10000);
    let payment = &lines("payments.jsonl")[0];
    assert!(payment["name"].as_str().unwrap().starts_with("PAY-NEW-"), "the number of its entry: {payment}");
    paid(payment);
    let changed = lines("changed.jsonl");
    let of = |id: u64| changed.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{changed:#?}"));
    assert_eq!(changed.len(), 7, "{changed:#?}");
    let master = |kind: &str, change: &str| {
        let found = changed.iter().find(|one| one["kind"] == kind && one["change"] == change);
        found.unwrap_or_else(|| panic!("{kind} {change}: {changed:#?}"))
    };
    let street = &master("partners", "changed")["columns"][0];
    assert_eq!((&street["column"], &street["now"]), (&"street".into(), &"=Gasse 5".into()));
    assert!(street["at_point"].is_string() && !master("partners", "changed")["name"].is_null());
    let price = &master("products", "changed")["columns"][0];
    assert_eq!((&price["column"], &price["now"]), (&"list_price".into(), &"77.77".into()));
    assert_eq!(master("products", "new")["name"], "New", "without its language");
    assert_eq!(master("taxes", "deleted")["columns"], serde_json::json!([]));
    assert!(std::str::from_utf8(&files["changed.csv"]).unwrap().contains("\"'=Gasse 5\""), "no formula");
    assert_eq!(of(1)["columns"][0]["column"], "client_order_ref");
    assert_eq!(of(1)["columns"][0]["now"], "@changed");
    assert_eq!(of(2)["columns"], serde_json::json!([]));
    assert_eq!(of(2)["lines"]["sale_order_line"]["changed"], 1);
    assert_eq!(of(2)["lines"]["sale_order_line"]["columns"], serde_json::json!(["price_unit"]));
    let gone = changed.iter().find(|one| one["change"] == "deleted").unwrap();
    assert_eq!((&gone["name"], &gone["lines"]["sale_order_line"]["deleted"]), (&"SO-GONE".into(), &1.into()));
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".csv")) {
        let rows = csv_rows(std::str::from_utf8(bytes).unwrap());
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{name} has rows of different lengths");
        for cell in rows.iter().flatten() {
            let is_number = cell.parse::<f64>().is_ok();
            assert!(is_number || !cell.starts_with(['=', '+', '-', '@']), "{name} has a formula: {cell:?}");
        }
    }
    let partners = csv_rows(std::str::from_utf8(&files["partners.csv"]).unwrap());
    assert!(partners.len() == 3 && partners[1][2].starts_with("'=Evil \"GmbH\"\n@corp x"), "{partners:?}");
    let csv = std::str::from_utf8(&files["sale-orders.csv"]).unwrap();
    assert!(csv.contains("\"'=2+3\n\"\"a\"\",b\""), "{csv}");
    assert!(csv.contains("\"'-1+cmd\"") && csv.contains(",-0.05,"), "text is made harmless, numbers stay");
    assert!(files["README.txt"].starts_with(b"What was written to shop after the point of release 7\n"));
}

/// The invoices that a payment paid: one of the point, and a new one.
fn paid(payment: &Value) {
    let paid: Vec<(&str, &str, &str, bool)> = payment["paid"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let of = |key: &str| one[key].as_str().unwrap();
            (of("name"), of("amount"), of("currency"), one["at_point"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        paid,
        [("INV/2025/00001", "5.25", "EUR", true), ("INV-NEW-1", "2.25", "EUR", false)],
        "{payment:#}"
    );
}

/// What it does not do.
fn refused(site: &Site) {
    std::fs::create_dir(site.path("empty")).unwrap();
    for taken in ["first", "empty"] {
        salvage(site, taken, &[]).exits(17).says("exists");
    }
    salvage(site, "nowhere/at/all", &[]).exits(5).says("nowhere/at is not a directory");
    salvage(site, "third", &["--from", COPY]).exits(2).says("are both shop_before_7");
    salvage(site, "third", &["--from", "nobody"]).exits(5).says("nobody");
    site.run(&[
        "rollback",
        "salvage",
        "--release",
        "8",
        "--tenant",
        "shop",
        "--against",
        COPY,
        "--to",
        "third",
    ])
    .run()
    .exits(5)
    .says("there is no checkpoint of release 8");
    assert!(!site.path("third").exists());
}

#[test]
fn what_cannot_be_exported_is_named_and_stops_nothing_else() {
    let cluster = Cluster::start_default();
    let site = at_point(&cluster);
    business(&cluster);
    for database in ["shop", COPY] {
        cluster.psql(database, "drop table pos_payment, pos_order_line, pos_order cascade");
    }
    cluster.psql(
        "shop",
        "alter table sale_order_line rename to hidden; create view sale_order_line as select * from hidden; \
         create domain his as numeric; alter table stock_picking add x_his his; \
         insert into res_currency (name, symbol) values ('a currency with a long name', 'x'); \
         update account_move set currency_id = (select max(id) from res_currency) where name = 'INV-NEW-1'; \
         update account_move set amount_total = 'NaN' where name = 'INV-NEW-2'",
    );
    let summary = salvage(&site, "out", &["--json"]).exits(3).json();
    let refused: BTreeMap<&str, &str> = summary["not_exported"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["what"].as_str().unwrap(), one["why"].as_str().unwrap()))
        .collect();
    assert!(refused["sale-orders"].contains("sale_order_line is a view, not a table"), "{refused:?}");
    assert!(refused["column stock_picking.x_his"].contains("type"), "{refused:?}");
    let of = |name: &str| refused.iter().find(|(what, _)| what.contains(name)).unwrap().1;
    assert!(of("INV-NEW-1").contains("currency has no name"), "{refused:?}");
    assert!(of("INV-NEW-2").contains("cannot be added up"), "{refused:?}");
    assert_eq!(summary["not_installed"], serde_json::json!(["pos-orders"]));
    assert_eq!(kind(&summary, "invoices")["documents"]["invoice"]["new"], 1, "{summary:#}");
    assert_eq!(kind(&summary, "payments")["documents"]["payment"]["new"], 3);
    assert!(!site.path("out/sale-orders.jsonl").exists(), "a kind is exported as a whole or not at all");
    let shown = salvage(&site, "other", &[]).exits(3);
    assert!(shown.stdout.contains("not exported sale-orders: sale_order_line is a view"), "{shown}");
}

#[test]
fn a_copy_that_is_not_of_the_point_is_noticed_and_equal_databases_give_nothing() {
    let cluster = Cluster::start_default();
    let site = at_point(&cluster);
    let nothing = salvage(&site, "nothing", &[]).ok();
    assert!(nothing.stdout.contains("nothing"), "{nothing}");
    business(&cluster);
    cluster.copy_db("shop", "later", false).unwrap();
    let to = ["--from", COPY, "--against", "later", "--to", "out", "--json"];
    let run = site.run(&["rollback", "salvage", "--release", "7", "--tenant", "shop"]).args(to).run().ok();
    let summary = run.json();
    assert!(summary["notes"].to_string().contains("of later was created after the point"), "{summary:#}");
    assert_eq!(kind(&summary, "sale-orders")["documents"]["sale-order"]["deleted"], 4);
}

#[test]
fn real_tenants_are_compared_as_a_whole() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let loaded = load_all_real(&cluster, &site.data_dir());
    if loaded.is_empty() {
        lifeboat_tests::skip!("no real tenant: TEST_ODOO_TENANTS names their folder");
    }
    let names: Vec<&str> = loaded.iter().map(String::as_str).collect();
    checkpointed(&cluster, &site, "8", &names);
    for name in names {
        let copy = format!("{name}_point");
        cluster.copy_db(name, &copy, false).unwrap();
        let new = copies("sale_order", "true", 3, NOW, "'name', 'SO-NEW-' || i, 'amount_total', 10.10");
        let of_them = lines("sale_order_line", "order_id", "sale_order", "name like 'SO-NEW-%'", 2);
        cluster.psql(name, &format!("{new}{of_them}update stock_picking set note = 'x' where id = (select min(id) from stock_picking);"));
        let to = ["--tenant", name, "--against", &copy, "--to", name, "--json"];
        let summary = site.run(&["rollback", "salvage", "--release", "8"]).args(to).run().ok().json();
        let orders = &kind(&summary, "sale-orders")["documents"]["sale-order"];
        assert_eq!((&orders["new"], &orders["changed"]), (&3.into(), &0.into()), "{name}: {summary:#}");
        assert_eq!(kind(&summary, "sale-orders")["lines"]["sale_order_line"], 6);
        assert_eq!(kind(&summary, "pickings")["documents"]["picking"]["changed"], 1, "{name}: {summary:#}");
        let files = files(&site.path(name));
        let text = std::str::from_utf8(&files["sale-orders.jsonl"]).unwrap();
        let order: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let links = order["links"].as_object().unwrap();
        let named = links.values().filter(|link| !link["key"].as_object().unwrap().is_empty()).count();
        assert!(named == links.len() && named > 3, "{name}: {links:#?}");
    }
}

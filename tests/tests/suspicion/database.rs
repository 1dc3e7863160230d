//! What is lost in a database, and what people do in it every day.

use std::fs;

use lifeboat_tests::Cluster;
use lifeboat_tests::site::{Site, words};

use crate::world::{backed_up, best_day, delete, found, status, tenants, with, without};

const DUMP: [&str; 2] = ["--kind", "dump"];

#[test]
fn a_day_of_whole_orders_is_missed_although_new_ones_came() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let names = tenants(&cluster, &site);
    let name = names[0].as_str();
    let first = backed_up(&site, name, &DUMP);
    assert!(first["suspicious"].is_null(), "there is nothing to compare with: {first}");
    let good = first["dump"]["id"].as_str().unwrap();
    without(status(&site).run().ok(), "SUSPICIOUS");

    let (day, orders) = best_day(&cluster, name);
    assert!(orders >= 5, "{name}: {day} {orders}");
    let count = || cluster.psql(name, "select count(*) from sale_order");
    let before = count();
    delete(
        &cluster,
        name,
        &format!(
            "create temp table lost as select id from sale_order where create_date::date = '{day}'; \
             delete from sale_order_line where order_id in (select id from lost); \
             delete from sale_order where id in (select id from lost); \
             create temp table fresh as select * from sale_order where state = 'sale' order by id limit (select count(*) from lost); \
             update fresh set id = nextval('sale_order_id_seq'), create_date = '{day}'; \
             insert into sale_order select * from fresh"
        ),
    );
    assert_eq!(count(), before, "as many orders as before");

    let outcome = site.backup(&DUMP).args(["--tenant", name]).run().ok();
    let text = words(&outcome);
    let said = format!("sale_order: {orders} of {orders} confirmed rows made on {day} are gone");
    assert!(text.contains(&said) && text.contains("sale_order_line: "), "{text}");
    assert!(text.contains("runbooks/suspicious-backup.md") && text.contains(good), "{text}");

    let shown = words(&status(&site).run().exits(3));
    for text in ["SUSPICIOUS", &said, good, &format!("lifeboat suspicion accept {name}")] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = status(&site).arg("--json").run().exits(3).json();
    let alarm = &json["suspicious"][0]["alarms"][0];
    assert_eq!(json["suspicious"][0]["tenant"], name);
    assert_eq!((&alarm["findings"][0]["gone"], &alarm["good"][0]), (&orders.into(), &good.into()));

    // The next backup compares with the new state; the alarm stays until somebody accepts it.
    assert_eq!(found(&backed_up(&site, name, &DUMP)), [""; 0]);
    with(status(&site).run().exits(3), &said);
    with(site.run(&["suspicion", "list"]).run().exits(3), &said);
    with(site.run(&["suspicion", "accept", name]).run().ok(), "1 suspicious backup accepted");
    site.run(&["suspicion", "accept", name]).run().exits(5).says("no backup of");
    with(site.run(&["suspicion", "list"]).run().ok(), "no backup of this host is suspicious");
    without(status(&site).run().ok(), "SUSPICIOUS");
}

#[test]
fn a_normal_week_is_not_reported() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let names = tenants(&cluster, &site);
    site.back_up(&DUMP);
    let drafts = "(select id from sale_order where state in ('draft', 'sent') order by id limit 10)";
    let days = [
        // quotations are confirmed, others are deleted with their lines
        format!(
            "update sale_order set state = 'sale' where id in {drafts}; \
             update sale_order_line l set state = o.state from sale_order o where o.id = l.order_id; \
             delete from sale_order_line where order_id in {drafts}; delete from sale_order where id in {drafts}"
        ),
        // a whole day of orders is cancelled, and what was cancelled before is deleted
        "delete from sale_order_line where order_id in (select id from sale_order where state = 'cancel'); \
         delete from sale_order where state = 'cancel'; \
         update sale_order set state = 'cancel' where create_date::date = (select create_date::date from sale_order \
           where state = 'sale' group by 1 order by count(*) desc limit 1); \
         update sale_order_line l set state = o.state from sale_order o where o.id = l.order_id"
            .to_owned(),
        // mails are cleaned up, caches emptied, partners archived
        "delete from mail_message where id % 20 = 0; delete from mail_mail; update res_partner set active = false where id % 3 = 0; \
         delete from ir_attachment where name like '/web/assets/%'"
            .to_owned(),
        // invoices are reset to draft and posted again, with new lines
        "create temp table again as select * from account_move_line where move_id in (select id from account_move \
           where move_type = 'out_invoice' and state = 'posted' order by id limit 4); \
         delete from account_move_line where id in (select id from again); \
         update again set id = nextval('account_move_line_id_seq'); insert into account_move_line select * from again"
            .to_owned(),
        // the statistics, and everything else, rewritten
        "vacuum full sale_order".to_owned(),
    ];
    for (n, sql) in days.iter().enumerate() {
        for name in &names {
            match sql.starts_with("vacuum") {
                true => drop(cluster.psql(name, sql)),
                false => delete(&cluster, name, sql),
            }
            let report = backed_up(&site, name, &["--kind", "dump", "--tenant", name]);
            assert_eq!(found(&report), [""; 0], "day {n} of {name}: {report}");
        }
    }
    without(status(&site).run().ok(), "SUSPICIOUS");
}

#[test]
fn another_database_of_the_name_is_not_compared_and_what_is_not_known_fails_no_backup() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let names = tenants(&cluster, &site);
    let name = names[0].as_str();
    let backup = || site.backup(&DUMP).args(["--tenant", name]).run().ok();
    backup();
    cluster.psql("postgres", &format!("create database other template \"{name}\""));
    delete(&cluster, "other", "delete from sale_order; delete from account_move");
    cluster.psql("postgres", &format!("drop database \"{name}\""));
    cluster.psql("postgres", &format!("alter database other rename to \"{name}\""));
    without(backup().says("it is another database than that of the last backup"), "SUSPICIOUS");
    without(backup(), "it is another database");

    let numbers = site.path("lifeboat-state/prod/suspicion").join(format!("{name}.numbers.json"));
    fs::write(&numbers, b"{").unwrap();
    without(backup().says("numbers.json is damaged"), "SUSPICIOUS");
    without(backup(), "damaged");
    delete(&cluster, name, "drop table stock_move cascade");
    with(backup().says("stock_move: the table is gone"), "runbooks/suspicious-backup.md");
}

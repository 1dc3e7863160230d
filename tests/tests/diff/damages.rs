//! What a retailer fears, one edit each, in a table: more can be added.

use lifeboat::odoo::changes::{Weight, changes};
use lifeboat::odoo::compare;

use crate::world::{baseline, edited, tenants};

/// An edit, how much it weighs, and what is said of it.
type Damage = (&'static str, Weight, &'static str);

const LOST: Weight = Weight::Lost;
const CHANGED: Weight = Weight::Changed;

const DAMAGES: &[Damage] = &[
    // prices, costs, rates
    (
        "update product_pricelist_item set fixed_price = 0 where id <> (select min(id) from product_pricelist_item)",
        LOST,
        "product_pricelist_item.fixed_price: ",
    ),
    ("update product_template set list_price = 0", LOST, "product_template.list_price: "),
    ("update product_template set list_price = null where id % 2 = 0", LOST, "product_template.list_price: "),
    (
        "update product_template set list_price = list_price * 10 where list_price <> 0",
        CHANGED,
        "product_template.list_price: ",
    ),
    (
        "update ir_property set value_float = 0 where name = 'standard_price'",
        LOST,
        "ir_property.value_float: ",
    ),
    ("update product_supplierinfo set price = 0", LOST, "product_supplierinfo.price: "),
    ("delete from product_pricelist_item where fixed_price > 6", LOST, "product_pricelist_item: "),
    ("delete from res_currency_rate where name = '2026-11-01'", LOST, "res_currency_rate: 2 of "),
    (
        "update res_currency_rate set rate = 1 where name = '2026-11-01'",
        CHANGED,
        "res_currency_rate.rate: 2 of ",
    ),
    (
        "update res_currency set rounding = 1 where id = (select min(id) from res_currency)",
        CHANGED,
        "res_currency.rounding: 1 of",
    ),
    (
        "update uom_uom set rounding = rounding * 2 where id = (select min(id) from uom_uom)",
        CHANGED,
        "uom_uom.rounding: 1 of ",
    ),
    (
        "alter table uom_uom alter factor drop not null; update uom_uom set factor = null",
        LOST,
        "uom_uom.factor: ",
    ),
    (
        "update decimal_precision set digits = 0 where id = (select min(id) from decimal_precision)",
        CHANGED,
        "decimal_precision.digits: 1 of",
    ),
    // taxes, accounts, banks, companies
    ("update account_tax set amount = amount + 1", CHANGED, "account_tax.amount: "),
    (
        "update account_tax_repartition_line set account_id = null",
        LOST,
        "account_tax_repartition_line.account_id: ",
    ),
    ("update product_taxes_rel set tax_id = -1; delete from product_taxes_rel", LOST, "product_taxes_rel: "),
    ("update res_partner_bank set acc_number = ''", LOST, "res_partner_bank.acc_number: "),
    (
        "update res_partner_bank set acc_number = 'DE00' where id = (select max(id) from res_partner_bank)",
        CHANGED,
        "res_partner_bank.acc_number: 1 of ",
    ),
    ("update account_account set code = ''", LOST, "account_account.code: "),
    (
        "delete from account_account where id > (select min(id) from account_account)",
        LOST,
        "account_account: ",
    ),
    ("update account_journal set type = 'general' where type = 'sale'", CHANGED, "account_journal.type: "),
    (
        "update res_company set currency_id = currency_id + 1 where id = (select min(id) from res_company)",
        CHANGED,
        "res_company.currency_id: ",
    ),
    (
        "update account_payment_term_line set value_amount = 0",
        LOST,
        "account_payment_term_line.value_amount: ",
    ),
    ("update pos_payment_method set journal_id = null", LOST, "pos_payment_method.journal_id: "),
    (
        "update ir_sequence set prefix = 'X' where id = (select min(id) from ir_sequence)",
        CHANGED,
        "ir_sequence.prefix: 1 of ",
    ),
    // users and rights
    ("update res_users set password = null", LOST, "res_users.password: "),
    ("update res_users set password = '' where login like 'seller%'", LOST, "res_users.password: 4 of "),
    (
        "delete from res_groups_users_rel where uid = (select id from res_users where login = 'seller1')",
        LOST,
        "res_groups_users_rel: ",
    ),
    (
        "delete from res_groups_users_rel where (gid, uid) = (select gid, uid from res_groups_users_rel where uid = (select id from res_users where login = 'seller1') order by gid limit 1)",
        CHANGED,
        "res_groups_users_rel: 1 of ",
    ),
    (
        "insert into res_groups_users_rel select max(gid) + 1, (select id from res_users where login = 'seller2') from res_groups_users_rel",
        CHANGED,
        "res_groups_users_rel: 1 new",
    ),
    ("update res_users set active = false where login = 'seller1'", CHANGED, "res_users.active: 1 of "),
    (
        "delete from ir_rule where id = (select res_id from ir_model_data where model = 'ir.rule' order by id limit 1)",
        LOST,
        "ir_rule: 1 of ",
    ),
    (
        "update ir_rule set domain_force = '[]' where id = (select min(id) from ir_rule)",
        CHANGED,
        "ir_rule.domain_force: 1 of ",
    ),
    ("update ir_rule set active = false", CHANGED, "ir_rule.active: "),
    ("delete from rule_group_rel", LOST, "rule_group_rel: "),
    ("delete from ir_model_access where id % 2 = 0", LOST, "ir_model_access: "),
    ("update ir_model_access set perm_unlink = true", CHANGED, "ir_model_access.perm_unlink: "),
    // parameters, views, whose it is
    ("delete from ir_config_parameter where key = 'tests.parameter'", CHANGED, "ir_config_parameter: 1 of "),
    (
        "update ir_config_parameter set value = 'https://evil.example' where key = 'tests.parameter'",
        CHANGED,
        "ir_config_parameter.value: 1 of ",
    ),
    (
        "update ir_ui_view set arch_db = '{\"en_US\": \"<t/>\"}' where key = 'tests.layout'",
        LOST,
        "ir_ui_view.arch_db: 1 of ",
    ),
    ("update ir_ui_view set arch_db = null where key = 'tests.layout'", LOST, "ir_ui_view.arch_db: 1 of "),
    ("delete from ir_ui_view where key = 'tests.layout'", LOST, "ir_ui_view: 1 of "),
    (
        "update ir_config_parameter set value = 'another' where key = 'database.uuid'",
        LOST,
        "database.uuid: it is that of another database",
    ),
    (
        "update ir_module_module set state = 'uninstalled' where name = 'sale'",
        CHANGED,
        "modules removed: 1 module removed (sale)",
    ),
    // schema
    (
        "drop index sale_order_name_of_tests",
        LOST,
        "unique index sale_order_name_of_tests: it is gone from sale_order",
    ),
    ("drop index sale_order_of_tests", LOST, "index sale_order_of_tests: it is gone from sale_order"),
    (
        "drop index sale_order_name_of_tests; create index sale_order_name_of_tests on sale_order (name, company_id)",
        LOST,
        "sale_order_name_of_tests: it is not unique any more",
    ),
    (
        "alter table sale_order drop constraint sale_order_partner_id_fkey",
        LOST,
        "foreign key sale_order_partner_id_fkey: it is gone from sale_order",
    ),
    (
        "alter table sale_order drop constraint sale_order_partner_id_fkey; alter table sale_order add constraint sale_order_partner_id_fkey foreign key (partner_id) references res_partner on delete restrict not valid",
        LOST,
        "foreign key sale_order_partner_id_fkey: on sale_order: it is not validated any more",
    ),
    (
        "alter table res_currency_rate drop constraint res_currency_rate_unique_name_per_day",
        LOST,
        "unique constraint res_currency_rate_unique_name_per_day: it is gone",
    ),
    (
        "alter table res_currency drop constraint res_currency_rounding_gt_zero",
        LOST,
        "check res_currency_rounding_gt_zero: it is gone",
    ),
    (
        "alter table stock_quant drop constraint stock_quant_pkey cascade",
        LOST,
        "primary key stock_quant_pkey: it is gone",
    ),
    ("alter table sale_order alter id drop default", LOST, "sale_order.id: its default "),
    (
        "alter table sale_order alter partner_id drop not null",
        LOST,
        "sale_order.partner_id: it may be NULL now",
    ),
    (
        "alter table res_partner_bank alter acc_number type text",
        CHANGED,
        "res_partner_bank.acc_number: its type is text",
    ),
    ("alter table sale_order drop client_order_ref", LOST, "sale_order.client_order_ref: the column is gone"),
    (
        "alter sequence sale_order_id_seq owned by none",
        LOST,
        "sequence sale_order_id_seq: it does not belong to public.sale_order.id any more",
    ),
    ("drop table stock_quant cascade", LOST, "stock_quant: the table is gone"),
    // rows
    ("delete from stock_quant", LOST, "stock_quant: the table is empty"),
    (
        "delete from sale_order where name ~ '^T[0-9]+$'",
        LOST,
        "sale_order: 14 of 14 confirmed rows made on 2026-11-12 are gone (2026-11-12 had 14, has 0)",
    ),
    (
        "delete from sale_order where name in ('T1', 'T2')",
        CHANGED,
        "sale_order: 2 of 14 confirmed rows made on 2026-11-12 are gone",
    ),
    ("delete from product_product", LOST, "product_product: "),
    ("delete from mail_message", LOST, "mail_message: the table is empty"),
    ("delete from mail_message where id % 10 <> 0", LOST, "rows are gone"),
    ("delete from auditlog_log", LOST, "auditlog_log: the table is empty; it had 40 rows"),
    ("delete from auditlog_log where id > 20", LOST, "auditlog_log: 20 of 40 rows are gone"),
    ("delete from res_partner where id % 4 <> 0", LOST, "res_partner: "),
    ("delete from stock_quant where id % 10 <> 0", CHANGED, "stock_quant: "),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_named() {
    let (cluster, _data, names) = tenants();
    let mut wrong = Vec::new();
    for name in &names {
        let before = baseline(&cluster, name).await;
        assert_eq!(changes(&before, &baseline(&cluster, name).await), [], "nothing changed in {name}");
        for (sql, weight, text) in DAMAGES {
            let after = match edited(&cluster, name, sql).await {
                Ok(after) => after,
                Err(e) => {
                    wrong.push(format!("{name}: {sql}: {e:?}"));
                    continue;
                }
            };
            let all = changes(&before, &after);
            let is_named =
                |one: &lifeboat::odoo::Change| one.weight == *weight && one.to_string().contains(text);
            if !all.iter().any(is_named) {
                let said: Vec<String> = all.iter().map(|one| format!("{:?} {one}", one.weight)).collect();
                wrong.push(format!("{name}: {sql}\n  wanted {weight:?} {text}\n  said {said:#?}"));
            }
            // what only somebody who confirms it can judge is no loss
            if *weight == CHANGED && all.iter().any(|one| one.weight == LOST) {
                wrong.push(format!("{name}: {sql}: {}", all[0]));
            }
            // a restore that comes out so is refused
            if compare(&before, &after).is_empty() {
                wrong.push(format!("{name}: {sql}: a restored copy would count as the same"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), DAMAGES.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_went_back_is_named() {
    let (cluster, _data, names) = tenants();
    let name = names.last().unwrap();
    let before = baseline(&cluster, name).await;
    cluster.psql(name, "select setval('sale_order_id_seq', 3)");
    let all = changes(&before, &baseline(&cluster, name).await);
    let said: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert!(
        all[0].weight == LOST && said[0].starts_with("sequence sale_order_id_seq: it went back from "),
        "{said:?}"
    );
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_with_another_value_that_base_checks_read_is_not_the_same() {
    let (cluster, _data, names) = tenants();
    for name in &names {
        let before = baseline(&cluster, name).await;
        for sql in [
            "update sale_order_line set qty_delivered = qty_delivered + 1 where id = (select max(id) from sale_order_line)",
            "update stock_move set state = 'draft' where id = (select min(id) from stock_move)",
        ] {
            let said: Vec<String> = compare(&before, &edited(&cluster, name, sql).await.unwrap())
                .iter()
                .map(ToString::to_string)
                .collect();
            let table = sql.split(' ').nth(1).unwrap();
            let wanted = format!("table public.{table}: what base checks read is ");
            assert!(said.iter().any(|one| one.starts_with(&wanted)), "{name}: {sql}: {said:#?}");
        }
    }
}

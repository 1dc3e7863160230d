//! What people and Odoo do in a week: nothing of it is a loss.

use lifeboat::odoo::changes::{Weight, changes};

use crate::world::{baseline, edited, tenants};

const WORK: &[&str] = &[
    // new orders; quotations are confirmed, drafts deleted, an order is cancelled
    "insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', nextval('sale_order_id_seq'), 'name', 'W' || n,
        'state', 'sale', 'create_date', now()::timestamp, 'write_date', now()::timestamp))).*
      from sale_order o, generate_series(1, 60) n where o.id = (select min(id) from sale_order);
     update sale_order set state = 'sale' where state = 'draft' and id % 2 = 0; delete from sale_order where state = 'draft';
     update sale_order set state = 'cancel' where id in (select id from sale_order where state = 'sale' order by id limit 5)",
    // prices: some edited, two for free, new products, archived ones
    "update product_template set list_price = list_price + 1 where id % 3 = 0;
     update product_template set list_price = 0 where id in (select id from product_template where list_price > 0 order by id limit 2);
     update product_template set active = false where id % 4 = 0; update product_product set active = false where id % 4 = 0;
     insert into product_template select (jsonb_populate_record(o, jsonb_build_object('id', nextval('product_template_id_seq'), 'list_price', 12))).*
      from product_template o, generate_series(1, 7) n where o.id = (select min(id) from product_template)",
    // a pricelist: items for a percentage now, two deleted, others new
    "update product_pricelist_item set compute_price = 'percentage', percent_price = 10, fixed_price = 0 where id % 2 = 0;
     delete from product_pricelist_item where id in (select id from product_pricelist_item order by id desc limit 2);
     insert into product_pricelist_item (pricelist_id, applied_on, base, compute_price, fixed_price)
       select min(id), '3_global', 'list_price', 'fixed', 9 from product_pricelist",
    // costs change with each receipt; a product's first one
    "update ir_property set value_float = value_float * 1.1 where name = 'standard_price';
     update product_supplierinfo set price = price + 1 where id % 2 = 0; delete from product_supplierinfo where id % 9 = 0",
    // rates: the day's, and a wrong one that was made again
    "insert into res_currency_rate (currency_id, company_id, name, rate) select currency_id, company_id, '2026-11-30', rate
       from res_currency_rate where name = '2026-11-01';
     create temp table again on commit drop as select * from res_currency_rate where name = '2026-11-01';
     delete from res_currency_rate where name = '2026-11-01';
     insert into res_currency_rate (currency_id, company_id, name, rate) select currency_id, company_id, name, rate + 0.01 from again",
    // a new user with rights, another one who leaves; passwords
    "with u as (insert into res_users (company_id, partner_id, login, password, notification_type)
       select company_id, partner_id, 'new@shop', 'x', 'email' from res_users order by id limit 1 returning id)
     insert into res_groups_users_rel select g.gid, u.id from (select distinct gid from res_groups_users_rel) g, u;
     update res_users set active = false where login = 'seller3';
     delete from res_groups_users_rel where uid = (select id from res_users where login = 'seller4');
     delete from res_users where login = 'seller4';
     update res_users set password = 'another' where login in ('seller1', 'seller2')",
    // an administrator: a parameter, a role with fewer rights, a rule that is off, a page of the website
    "update ir_config_parameter set value = 'other' where key = 'web.base.url'; delete from ir_config_parameter where key = 'tests.parameter';
     delete from res_groups_users_rel where uid = (select id from res_users where login = 'seller1') and gid <> (select min(gid) from res_groups_users_rel
       where uid = (select id from res_users where login = 'seller1'));
     update ir_rule set active = false where id = (select min(id) from ir_rule);
     update ir_ui_view set arch_db = '{\"en_US\": \"<t/>\"}' where key = 'website.page_of_ours';
     delete from res_partner_bank where id = (select max(id) from res_partner_bank)",
    // Odoo's own cleaning up
    "delete from bus_bus; delete from mail_mail; delete from ir_logging;
     delete from mail_message where id % 50 = 0; delete from auditlog_log where id < 5;
     delete from ir_attachment where id % 3 = 0 and res_field is not null",
    // partners and products that nobody used
    "delete from stock_quant where id % 3 <> 0;
     delete from res_partner where id % 10 = 0; delete from product_product where id in (select max(id) from product_product)",
    // a release with new versions: indexes, columns, constraints, views, rules and rights of the module come
    // and go
    "update ir_module_module set latest_version = '17.0.9.9', write_date = now() where name = 'sale';
     drop index sale_order_of_tests; alter table sale_order drop client_order_ref; alter table sale_order add x_new varchar default 'a';
     drop index sale_order_name_of_tests; create index sale_order_new on sale_order (state, name);
     delete from ir_ui_view where key = 'tests.layout'; delete from ir_rule where id in (select res_id from ir_model_data where model = 'ir.rule' and module = 'sale');
     delete from ir_model_access where id in (select res_id from ir_model_data where model = 'ir.model.access' and module = 'sale')",
    // a module in the same version, but with other code
    "update ir_module_module set write_date = now() + interval '1 second' where name = 'sale';
     drop index sale_order_of_tests; alter table sale_order alter note drop not null;
     alter table sale_order drop client_order_ref; delete from ir_ui_view where key = 'tests.layout'",
    // an index that Odoo names in another way
    "alter index sale_order_of_tests rename to sale_order__partner_state_index",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_work_is_no_loss() {
    let (cluster, _data, names) = tenants();
    let mut wrong = Vec::new();
    for name in &names {
        let before = baseline(&cluster, name).await;
        let together = WORK[..9].join(";\n");
        for sql in WORK.iter().copied().chain([together.as_str()]) {
            let all = changes(&before, &edited(&cluster, name, sql).await.unwrap());
            wrong.extend(
                all.iter()
                    .filter(|one| one.weight == Weight::Lost)
                    .map(|one| format!("{name}: {one}\n  of {sql}")),
            );
            if sql == WORK[0] {
                println!("{}", all.iter().map(|one| format!("{:?} {one}\n", one.weight)).collect::<String>());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

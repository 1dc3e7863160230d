//! What nobody could judge: listed with its module, never emptied, on real tenants with a module of somebody
//! else, one of Odoo Enterprise, and a field made by hand.

use lifeboat::odoo::neutralize::{Origin, Unknown, UnknownKind};

use super::*;

/// Modules `shop` and `voip`, a field made by hand, parameters, an action, a company-dependent value, a key
/// file.
const FOREIGN: &str = r#"
create table shop_backend (id serial primary key, name varchar, api_token varchar, options jsonb, secret_blob bytea, endpoint varchar,
  access_mode varchar, password varchar);
insert into shop_backend (name, api_token, options, secret_blob, endpoint, access_mode, password) values
  ('one', 'tok-1', '{"a": 1}', '\x01', 'https://shop.example/api', 'token', null), ('two', 'tok-2', null, null, 'http://localhost:8000', 'token', ''),
  ('three', '', null, '\x', null, null, null);
create table voip_line (id serial primary key, secret varchar); insert into voip_line (secret) values ('hush');
create table raw_feed (token text); insert into raw_feed values ('hush'), (null);
alter table res_partner add x_api_key varchar; update res_partner set x_api_key = 'by hand' where id = 1;
insert into ir_module_module (name, state, license, latest_version) values ('shop', 'installed', 'LGPL-3', '17.0.1'),
  ('voip', 'installed', 'OEEL-1', '17.0.1')
  on conflict (name) do update set state = excluded.state, license = excluded.license;
with field(model, name, ttype, module) as (values ('shop.backend', 'api_token', 'char', 'shop'), ('shop.backend', 'secret_blob', 'binary', 'shop'),
    ('shop.backend', 'endpoint', 'char', 'shop'), ('shop.backend', 'access_mode', 'selection', 'shop'), ('shop.backend', 'password', 'char', 'shop'),
    ('voip.line', 'secret', 'char', 'voip'), ('res.partner', 'x_api_key', 'char', null)),
  made as (insert into ir_model_fields (model, model_id, name, ttype, state, field_description)
    select f.model, 1, f.name, f.ttype, 'base', '"x"' from field f returning id, model, name)
  insert into ir_model_data (module, model, name, res_id)
    select f.module, 'ir.model.fields', 'field_' || made.id, made.id from made join field f using (model, name) where f.module is not null;
insert into ir_config_parameter (key, value) values ('shop.feed', 'https://shop.example/feed'), ('shop.magic', 'aB3dE6gH9jK2mN5p'),
  ('shop.api_key', 'gone'), ('shop.place', 'postgres://feed:hush@shop.example/x'), ('shop.json', '{"private_key": "x"}'),
  ('shop.password', '4711'), ('shop.token_days', '30'), ('shop.module', 'shop.models.backend_sync'), ('shop.secretly', 'True');
insert into ir_act_server (name, type, state, code, model_id, binding_type, usage) values
  ('{"en_US": "Push stock"}', 'ir.actions.server', 'code', 'requests.post("https://shop.example", data)', 1, 'action', 'ir_actions_server'),
  ('{"en_US": "Send all"}', 'ir.actions.server', 'code', 'records.send_to_shop()', 1, 'action', 'ir_actions_server'),
  ('{"en_US": "Quiet"}', 'ir.actions.server', 'code', E'# requests.get\nrecords.write({"active": False})', 1, 'action', 'ir_actions_server');
insert into ir_attachment (name, type, res_model, res_field, res_id) values ('key', 'binary', 'certificate.key', 'content', 1);
insert into ir_property (name, type, value_text, fields_id, company_id)
  select 'api_token', 'char', 'hush', id, 1 from ir_model_fields where model = 'shop.backend' and name = 'api_token';
"#;

fn short(one: &Unknown) -> String {
    let module = one.module.as_deref().unwrap_or("-");
    format!("{:?} {} {module} {:?} {}", one.kind, one.name, one.origin, one.rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_could_judge_is_listed_and_left() {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/odoo");
    let dir = std::env::var_os("TEST_ODOO_TENANTS").map_or(beside, PathBuf::from);
    let cluster = Cluster::start_default();
    for tenant in ["retail_north", "retail_south"] {
        let source = dir.join(format!("{tenant}.dump"));
        if !source.exists() {
            skip!("no real tenant: {} is not there (set TEST_ODOO_TENANTS)", source.display());
        }
        cluster.create_db(tenant);
        cluster.run("pg_restore", &["--no-owner", "--exit-on-error", "-d", tenant, source.to_str().unwrap()]);
        let mut session = Session::connect(&options(&cluster), tenant).await.unwrap();
        assert_eq!(odoo::unknown(&mut session).await.unwrap().listed, [], "a clean tenant raises nothing");
        cluster.psql(tenant, FOREIGN);
        odoo::neutralize(&mut session, BASE_URL).await.unwrap();
        assert_eq!(odoo::still_live(&mut session).await.unwrap(), Vec::<String>::new());
        let before = compare::database_digest(&cluster, tenant);
        let found = odoo::unknown(&mut session).await.unwrap();
        compare::assert_same("the copy", &before, &compare::database_digest(&cluster, tenant));
        let actions = cluster.psql(tenant, "select min(id), min(id) + 1 from ir_act_server where name->>'en_US' in ('Push stock', 'Send all')");
        let (push, send) = actions.split_once('|').unwrap();
        assert_eq!(
            found.listed.iter().map(short).collect::<Vec<_>>(),
            [
                "Column raw_feed.token - Nobody 1".to_owned(),
                "Column res_partner.x_api_key - Nobody 1".into(),
                "Column shop_backend.api_token shop Other 2".into(),
                "Column shop_backend.endpoint shop Other 1".into(),
                "Column shop_backend.secret_blob shop Other 1".into(),
                "Column voip_line.secret voip Enterprise 1".into(),
                "Column ir_property.value_text of shop_backend.api_token shop Other 1".into(),
                "Parameter shop.feed - Nobody 1".into(),
                "Parameter shop.magic - Nobody 1".into(),
                "File certificate.key.content - Nobody 1".into(),
                format!("Code ir.actions.server {push} (Push stock) - Nobody 1"),
                format!("Code ir.actions.server {send} (Send all) - Nobody 1"),
                "Module shop shop Other 5".into(),
                "Module voip voip Enterprise 1".into(),
            ]
        );
        assert!(found.listed.iter().all(|one| !one.to_string().contains("hush")), "no secret is shown");
        let left =
            "select string_agg(key, ' ' order by key) from ir_config_parameter where key like 'shop.%'";
        let kept = "shop.feed shop.magic shop.module shop.secretly shop.token_days";
        assert_eq!(
            cluster.psql(tenant, left),
            kept,
            "secrets under any name are gone, switches and numbers stay"
        );
        // A long list is cut, and counted.
        let many: String =
            (0..60).map(|i| format!("create table far_{i} as select 'hush'::text as token;")).collect();
        cluster.psql(tenant, &many);
        let found = odoo::unknown(&mut session).await.unwrap();
        assert_eq!(found.found[&UnknownKind::Column], 67);
        let columns = found
            .listed
            .iter()
            .filter(|one| one.kind == UnknownKind::Column && one.origin != Origin::Community);
        assert_eq!(columns.count(), 50);
        session.close().await;
    }
}

//! Against Odoo itself: what `odoo-bin neutralize` changes in a real tenant, ours changes or empties as well.

use lifeboat_tests::odoo::{Odoo, odoo_major};
use lifeboat_tests::{load_real, real_tenants};
use serde_json::{Map, Value};

use super::lower_bound::{FACTS, live};
use super::*;

/// Rows that no test tenant has.
const MORE: &str = "
insert into ir_config_parameter (key, value) values ('mail.web_push_vapid_private_key', 'hush'), ('mail.sfu_server_key', 'hush')
  on conflict (key) do update set value = excluded.value;";

/// Makes everything live that this tenant has a column for.
fn enliven(cluster: &Cluster, database: &str) -> usize {
    let mut done = 0;
    for (_, table, columns, then) in FACTS {
        for column in columns.split_whitespace() {
            let (kind, value) = live(column, then, "varchar");
            let fits = match kind {
                "bool" => "bool",
                kind if kind.starts_with("varchar") => "S",
                _ => continue,
            };
            let there = format!(
                "select count(*) from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = to_regclass('{table}') \
                 and a.attname = '{column}' and (t.typcategory = '{fits}' or t.typname = '{fits}')"
            );
            if cluster.psql(database, &there) == "1" {
                let sql = format!(
                    "do $$ begin update {table} set {column} = {value}; exception when unique_violation then null; end $$"
                );
                cluster.psql(database, &sql);
                done += 1;
            }
        }
    }
    cluster.psql(database, MORE);
    done
}

/// The rows of a table by their id.
fn rows(cluster: &Cluster, database: &str, table: &str) -> Map<String, Value> {
    let sql = format!("select coalesce(jsonb_object_agg(id, to_jsonb(t)), '{{}}') from {table} t");
    serde_json::from_str(&cluster.psql(database, &sql)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_silences_all_that_odoo_itself_silences() {
    let Some(major) = odoo_major() else {
        skip!("no Odoo: TEST_ODOO_BIN names its odoo-bin, TEST_ODOO_PYTHON its Python");
    };
    let prepared = if major == 17 { "retail_north".to_owned() } else { format!("odoo{major}") };
    if !real_tenants().contains(&prepared) {
        skip!("no tenant {prepared}.dump in TEST_ODOO_TENANTS");
    }
    let cluster = Cluster::start_default();
    let data_dir = tempfile::tempdir().unwrap();
    load_real(&cluster, data_dir.path(), &prepared, "was").unwrap();
    let alive = enliven(&cluster, "was");
    assert!(alive > 5, "only {alive} columns are live");
    let theirs = Odoo::neutralizing(&cluster, data_dir.path(), "was").unwrap();
    for name in ["theirs", "ours"] {
        cluster.psql("postgres", &format!("create database {name} template was"));
    }
    cluster.psql("theirs", &theirs);
    let mut session = Session::connect(&options(&cluster), "ours").await.unwrap();
    odoo::neutralize(&mut session, BASE_URL).await.unwrap();
    assert_eq!(odoo::still_live(&mut session).await.unwrap(), Vec::<String>::new());
    let tables = cluster.psql(
        "was",
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'id' \
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by 1",
    );
    let (mut changed, mut left) = (0, Vec::new());
    for table in tables.lines() {
        let digest =
            format!("select coalesce(md5(string_agg(to_jsonb(t)::text, '' order by id)), '') from {table} t");
        if cluster.psql("was", &digest) == cluster.psql("theirs", &digest) {
            continue;
        }
        let (was, theirs, ours) =
            (rows(&cluster, "was", table), rows(&cluster, "theirs", table), rows(&cluster, "ours", table));
        for (id, row) in &was {
            for (column, value) in row.as_object().unwrap() {
                if theirs.get(id).is_some_and(|row| &row[column] == value) {
                    continue;
                }
                changed += 1;
                let now = ours.get(id).map(|row| &row[column]);
                if now.is_some_and(|now| now == value && !now.is_null() && now != "") {
                    left.push(format!("{table} {id} {column}"));
                }
            }
        }
        if table == "ir_config_parameter" {
            let keys = |rows: &Map<String, Value>| {
                rows.values().map(|row| row["key"].to_string()).collect::<HashSet<_>>()
            };
            left.extend(
                keys(&theirs).difference(&keys(&was)).filter(|key| !keys(&ours).contains(*key)).cloned(),
            );
        }
    }
    assert!(changed > 20, "Odoo changed only {changed} cells");
    assert_eq!(left, Vec::<String>::new(), "of {changed} cells that Odoo changes");
}

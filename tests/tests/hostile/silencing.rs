//! Neutralizing a hostile copy: nothing of the tenant's own fires, what is no table is not passed
//! over, and what the database itself reaches is closed or told.

use lifeboat::odoo::neutralize::BASE_URL;
use lifeboat::odoo::{self, Neutralized};
use lifeboat::postgres::{PostgresOptions, Session};
use lifeboat_tests::Cluster;

use crate::log::mark;
use crate::trap::{OWNER, as_owner, cluster, tenant};

/// A session with the rights of the tenant's owner and no more, as neutralizing wants it.
async fn owner(cluster: &Cluster, database: &str) -> Session {
    let options = PostgresOptions {
        host: Some(cluster.host()),
        port: cluster.port(),
        user: OWNER.into(),
        ..PostgresOptions::default()
    };
    Session::connect(&options, database).await.unwrap()
}

/// Every trigger, rule and forced policy of the database, and whether it is on.
fn switches(cluster: &Cluster, database: &str) -> String {
    let sql = "set search_path = pg_catalog; select string_agg(what, e'\\n' order by what) from ( \
        select concat(tgrelid::regclass, ' ', tgname, ' ', tgenabled) from pg_trigger where not tgisinternal \
        union all select concat(ev_class::regclass, ' ', rulename, ' ', ev_enabled) from pg_rewrite where ev_class >= 16384 \
        union all select concat(oid::regclass, ' ', relforcerowsecurity) from pg_class where oid >= 16384) as all_of(what)";
    cluster.psql(database, sql)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neutralizing_fires_nothing_and_puts_everything_back_as_it_was() {
    let cluster = cluster(&[]);
    let files = tempfile::tempdir().unwrap();
    tenant(&cluster, files.path(), "copy");
    as_owner(
        &cluster,
        "copy",
        "create table public.slept (id integer); create trigger asleep before insert on public.slept for each row execute function public.fire(); \
         alter table public.slept disable trigger asleep; \
         create trigger elsewhere before update on public.ir_cron for each row execute function public.fire(); \
         alter table public.ir_cron enable replica trigger elsewhere; \
         create policy none_seen on public.ir_mail_server using (public.seen('policy') = 2); \
         alter table public.ir_mail_server enable row level security; alter table public.ir_mail_server force row level security",
    );
    let (before, begun) = (switches(&cluster, "copy"), mark(&cluster));
    let mut session = owner(&cluster, "copy").await;
    let live = odoo::still_live(&mut session).await.unwrap();
    assert!(live.iter().any(|what| what.starts_with("active mail server")), "{live:#?}");
    odoo::neutralize(&mut session, BASE_URL).await.unwrap();
    assert_eq!(odoo::still_live(&mut session).await.unwrap(), Vec::<String>::new());
    assert_eq!(switches(&cluster, "copy"), before);
    let log = &cluster.log()[begun..];
    for fired in ["trigger on", "rule on", "policy", "operator"] {
        assert!(!log.contains(&format!("TRAP {fired}")), "{fired} ran: {log:.4000}");
    }
    assert!(!log.contains("super t"), "it is the owner's session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_table_counts_as_live() {
    let cluster = cluster(&[]);
    let files = tempfile::tempdir().unwrap();
    tenant(&cluster, files.path(), "trapped");
    let tricks = [
        (
            "by_view",
            "alter table ir_mail_server rename to hidden; create view ir_mail_server as select * from hidden",
            "ir_mail_server is a view, not a table",
        ),
        (
            "by_foreign",
            "alter table mail_mail rename to hidden; \
             create foreign table mail_mail (id integer, state varchar) server far",
            "mail_mail is a foreign table, not a table",
        ),
        (
            "by_child",
            "create foreign table far_cron () inherits (ir_cron) server far",
            "ir_cron has a part public.far_cron that is a foreign table",
        ),
    ];
    for (name, trick, said) in tricks {
        cluster.psql("postgres", &format!("create database {name} template trapped owner {OWNER}"));
        cluster.psql(
            name,
            "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; grant usage on foreign server far to evil",
        );
        as_owner(&cluster, name, trick);
        let mut session = owner(&cluster, name).await;
        odoo::neutralize(&mut session, BASE_URL).await.unwrap();
        let live = odoo::still_live(&mut session).await.unwrap();
        assert!(live.iter().any(|what| what.contains(said)), "{name}: {live:#?}");
    }
}

/// A tenant that takes changes from production, reads another system's table with a password, tells it
/// of changes by a trigger, and keeps attachments in a bucket.
const OUTWARD: &str = "
    create extension dblink; create extension postgres_fdw;
    create server far foreign data wrapper postgres_fdw options (host '192.0.2.1', dbname 'feed');
    create user mapping for public server far options (user 'prod', password 'hush');
    create foreign table far_price (id integer) server far;
    create function tell() returns trigger language plpgsql as $$ begin
      perform public.dblink_exec('host=192.0.2.1 user=prod password=hush', 'select 1'); return new; end $$;
    create trigger told before update on ir_mail_server for each row execute function tell();
    create function fire_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'it fired'; end $$;
    create table fs_storage (id serial, protocol varchar, options text, directory_path varchar, autovacuum_gc boolean);
    insert into fs_storage (protocol, options, directory_path, autovacuum_gc) values ('s3', '{\"secret\": \"hush\"}', 'bucket', true);
    insert into ir_config_parameter (key, value) values ('ir_attachment.location', 's3'), ('s3.secret_access_key', 'hush-hush'),
      ('other.module.api_key', 'hush-hush');
    create subscription changes connection 'host=192.0.2.1 password=hush' publication everything with (connect = false, slot_name = 'prod_slot');
    create event trigger on_ddl on ddl_command_start execute function fire_ddl();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_copy_reaches_is_closed_or_told() {
    let cluster = cluster(&[("wal_level", "logical")]);
    let files = tempfile::tempdir().unwrap();
    lifeboat_tests::small_tenant(&cluster, files.path(), "shop", 5);
    cluster.psql("shop", OUTWARD);
    let options =
        PostgresOptions { host: Some(cluster.host()), port: cluster.port(), ..PostgresOptions::default() };
    let mut session = Session::connect(&options, "shop").await.unwrap();
    let reaches = odoo::outside::reaches(&mut session).await.unwrap();
    assert_eq!(
        reaches,
        [
            "foreign server far (postgres_fdw, dbname feed, host 192.0.2.1): public.far_price",
            "subscription changes: takes changes from another server",
            "event trigger on_ddl: runs fire_ddl on ddl_command_start",
            "extension dblink: opens connections to other databases",
            "1 function mentions dblink_exec: public.tell (trigger told on ir_mail_server)",
        ]
    );
    assert!(!reaches.join(" ").contains("hush"));
    let done: Neutralized = odoo::neutralize(&mut session, BASE_URL).await.unwrap();
    let applied: Vec<&str> = done.applied.iter().map(|step| step.name.as_str()).collect();
    for step in [
        "event trigger on_ddl switched off",
        "subscription changes dropped; its slot is left to production",
        "user mapping of public for server far dropped",
        "attachment stores",
    ] {
        assert!(applied.contains(&step), "{step}: {applied:#?}");
    }
    let told = |what: &str| format!("the copy can reach outside systems: {what}");
    assert_eq!(
        done.warnings,
        [told(&reaches[3]), told(&reaches[4])],
        "what calls by itself is told, and left"
    );
    assert_eq!(odoo::still_live(&mut session).await.unwrap(), Vec::<String>::new());
    let unknown = odoo::unknown(&mut session).await.unwrap().listed;
    let unknown: Vec<&str> = unknown.iter().map(|one| one.name.as_str()).collect();
    let of_nobody = ["ir_attachment.url", "sale_order.access_token"]; // nothing here says whose columns they are
    assert_eq!(unknown, of_nobody);
    let left = cluster.psql(
        "shop",
        "select (select count(*) from pg_user_mapping), (select count(*) from pg_subscription), \
           (select concat(options, directory_path, autovacuum_gc) from fs_storage), \
           (select string_agg(key || '=' || value, ' ' order by key) from ir_config_parameter where key ~ 's3|location|other')",
    );
    assert_eq!(left, "0|0|neutralizedf|ir_attachment.location=file");
}

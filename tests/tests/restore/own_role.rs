//! The role that loads a dump: as whom a restore works on which server, that owners and rights are right
//! afterwards, and that the role is gone whatever happens.

use std::fs;

use lifeboat_tests::compare::assert_same_database;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, small_tenant};
use rustix::process::Signal;

use crate::{assert_nothing_published, databases, restore};

/// The roles of loads that the cluster has.
pub fn loaders(cluster: &Cluster) -> String {
    cluster.psql("postgres", "select rolname from pg_roles where rolname like 'lifeboat\\_load%'")
}

/// Has the server let in whom these lines say.
fn hba(cluster: &Cluster, lines: &str) {
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let write = |name: &str, text: &str| {
        let file = cluster.data_dir().join(name);
        fs::write(&file, text).unwrap();
        lifeboat_tests::installed::hand_over(&file);
    };
    write("pg_ident.conf", &format!("ours {} postgres\n", user.trim()));
    let password = cluster.password().is_some();
    let first = if password { "" } else { "local all postgres peer map=ours\n" };
    write("pg_hba.conf", &format!("{first}{lines}\n"));
    cluster.psql("postgres", "select pg_reload_conf()");
    let loaded = "select count(*) = 0 from pg_hba_file_rules where error is not null";
    assert_eq!(cluster.psql("postgres", loaded), "t");
}

#[test]
fn it_is_let_in_by_the_servers_that_people_have() {
    let without = [
        "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256", // Debian
        "local all all peer\nhost all all 127.0.0.1/32 md5",
        "local all all trust",
    ];
    let with = ["local all all scram-sha-256", "local all all md5"];
    for (servers, password) in [(&without[..], None), (&with, Some("pw".to_owned()))] {
        let cluster = Cluster::with(Options { password: password.clone(), ..Options::default() });
        let mut site = Site::local(&cluster);
        if let Some(password) = password {
            site.set("PGPASSWORD", password);
        }
        small_tenant(&cluster, &site.data_dir(), "shop", 5);
        site.back_up(&[]);
        for (n, lines) in servers.iter().enumerate() {
            println!("{lines}");
            hba(&cluster, lines);
            let copy = format!("copy{n}");
            restore(&site, &["--tenant", "shop", "--as", &copy, "--no-neutralize"]).run().ok();
            assert_same_database((&cluster, "shop"), (&cluster, &copy));
            assert_eq!(loaders(&cluster), "");
        }
    }
}

#[test]
fn where_it_is_not_let_in_nothing_is_loaded_unless_somebody_says_so() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 6);
    site.back_up(&[]);
    hba(&cluster, "local all all peer\nhost all all 127.0.0.1/32 reject");
    let before = databases(&cluster);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let plan = restore(&site, &args).arg("--dry-run").run().ok();
    assert!(plan.stdout.contains("loads as    a role created for this load"), "{plan}");
    let refused = restore(&site, &args).run().exits(16);
    let line = match cluster.major() {
        16.. => "host all /^lifeboat_load_ 127.0.0.1/32 scram-sha-256",
        _ => "host all all 127.0.0.1/32 scram-sha-256",
    };
    assert!(words(&refused).contains(line), "{refused}");
    assert!(words(&refused).contains("--load-as-superuser"), "{refused}");
    assert_nothing_published(&cluster, &site, &before, "copy", &refused);
    assert_eq!(loaders(&cluster), "");
    let trusted = restore(&site, &args).arg("--load-as-superuser").run().ok();
    assert!(words(&trusted).contains("loaded with all rights of the configured role"), "{trusted}");
    assert_same_database((&cluster, "shop"), (&cluster, "copy"));
}

/// Owners and rights of everything in a database, as text.
fn owners(cluster: &Cluster, database: &str) -> String {
    let sql = "select 'r', n.nspname, relname, pg_get_userbyid(relowner), (select array_agg(a::text order by a::text) from unnest(relacl) a) \
                 from pg_class c join pg_namespace n on n.oid = relnamespace where n.nspname !~ '^pg_|^information_schema' \
               union all select 'f', n.nspname, proname, pg_get_userbyid(proowner), (select array_agg(a::text order by a::text) from unnest(proacl) a) \
                 from pg_proc p join pg_namespace n on n.oid = pronamespace where n.nspname !~ '^pg_|^information_schema' \
                   and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') \
               union all select 't', n.nspname, typname, pg_get_userbyid(typowner), null \
                 from pg_type t join pg_namespace n on n.oid = typnamespace where n.nspname !~ '^pg_|^information_schema' and typtype in ('e', 'd') \
               union all select 's', '', nspname, pg_get_userbyid(nspowner), (select array_agg(a::text order by a::text) from unnest(nspacl) a) \
                 from pg_namespace where nspname !~ '^pg_|^information_schema' \
               union all select 'd', '', pg_get_userbyid(defaclrole)::text || defaclobjtype::text, null, defaclacl::text[] from pg_default_acl \
               union all select 'l', '', lomowner::regrole::text, null, null from pg_largeobject_metadata \
               order by 1, 2, 3";
    cluster.psql(database, sql)
}

#[test]
fn owners_and_rights_are_as_they_were_and_a_superusers_are_told() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 31);
    cluster
        .psql("postgres", "create role odoo login createdb; create role bi login; create role \"re;ader\"");
    let tables = "select string_agg(format('alter table public.%I owner to odoo;', relname), ' ' order by relkind = 'S') from pg_class \
                  where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'S')";
    let alter = cluster.psql("shop", tables)
        + "alter function x_margin owner to odoo; alter function x_touch_write_date owner to odoo;";
    cluster.psql("postgres", "alter database shop owner to odoo");
    cluster.psql("shop", &alter);
    let others = "create schema ext; create extension pg_trgm with schema ext; \
        create schema bi authorization bi; create table bi.\"odd;\"\"name\" (id int primary key, x text); alter table bi.\"odd;\"\"name\" owner to bi; \
        insert into bi.\"odd;\"\"name\" values (1, 'x'); create index on bi.\"odd;\"\"name\" using gin (x ext.gin_trgm_ops); \
        grant select on bi.\"odd;\"\"name\" to \"re;ader\" with grant option; \
        grant usage on schema bi to \"re;ader\"; \
        set session authorization \"re;ader\"; grant select on bi.\"odd;\"\"name\" to odoo; reset session authorization; \
        revoke insert on public.res_partner from odoo; grant select (name) on public.res_partner to bi; \
        alter default privileges for role odoo in schema public grant select on tables to bi; \
        create function public.f(a integer, b text default 'x;y') returns integer language sql as 'select 1'; alter function public.f(integer, text) owner to bi; \
        revoke execute on function public.f(integer, text) from public; \
        create type public.mood as enum ('sad'); alter type public.mood owner to bi; \
        select lo_from_bytea(4711, 'blob'); alter large object 4711 owner to bi;";
    cluster.psql("shop", others);
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--no-neutralize", "--json", "--as"];
    let clean = restore(&site, &args).args(["clean", "--keep-owners"]).run().ok().json();
    let (was, is) = (owners(&cluster, "shop"), owners(&cluster, "clean"));
    let lacks = |a: &str, b: &str| -> Vec<String> {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    assert_eq!((lacks(&was, &is), lacks(&is, &was)), (Vec::new(), Vec::new()));
    assert_same_database((&cluster, "shop"), (&cluster, "clean"));
    let warnings = clean["warnings"].as_array().unwrap();
    assert!(warnings.iter().all(|warning| warning.as_str().unwrap().contains(" live")), "{clean}");
    assert_eq!(warnings.len(), 2, "that it is live, in the plan and in the result: {clean}");
    // What is a superuser's in it goes to the tenant's owner; what only he may make is left out.
    cluster.psql(
        "shop",
        "create function public.powerful() returns integer language sql security definer as 'select 2'; \
         create function public.inside(integer) returns integer language internal immutable as 'int4abs'; \
         create index by_inside on public.res_partner (public.inside(id)); \
         create function public.listen() returns event_trigger language plpgsql as 'begin end'; \
         create event trigger ears on ddl_command_end execute function public.listen(); \
         create publication everything for all tables;",
    );
    site.back_up(&[]);
    let told = restore(&site, &args).arg("told").run().ok().json();
    let warnings = told["warnings"].to_string();
    for said in [
        "2 objects of postgres",
        "ALTER FUNCTION public.powerful() OWNER TO",
        "FUNCTION public.inside(integer) was not created",
        "it is in language internal",
        "INDEX public.by_inside was not created: it needs FUNCTION public.inside(integer)",
        "EVENT TRIGGER ears was not created",
        "PUBLICATION everything was not created",
    ] {
        assert!(warnings.contains(said), "{said}: {warnings}");
    }
    let owner =
        |name: &str| format!("select pg_get_userbyid(proowner) from pg_proc where proname = '{name}'");
    assert_eq!(cluster.psql("told", &owner("powerful")), "odoo");
    // So does what is a third role's: code of the tenant could have changed it. Its schema holds no code.
    assert_eq!(cluster.psql("told", &owner("f")), "odoo");
    assert!(warnings.contains("odoo now owns 4 objects of bi:"), "{warnings}");
    let schema = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'bi'";
    assert_eq!(cluster.psql("told", schema), "bi");
    let file = fs::read_to_string(told["not_made_file"].as_str().unwrap()).unwrap();
    assert!(file.contains("ALTER FUNCTION public.f(a integer, b text) OWNER TO \"bi\";"), "{file}");
    // All to one role, without the rights.
    restore(&site, &args).args(["given", "--owner", "bi"]).run().ok();
    let owner = "select string_agg(distinct pg_get_userbyid(relowner)::text, ',') from pg_class c join pg_namespace n on n.oid = relnamespace \
                 where nspname in ('public', 'bi')";
    assert_eq!(cluster.psql("given", owner), "bi");
    assert_eq!(loaders(&cluster), "");
}

#[test]
fn rows_that_need_a_superusers_function_are_never_left_out_silently() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 32);
    cluster.psql(
        "shop",
        "create schema ext; create extension pg_trgm with schema ext; \
         create function public.inside(integer) returns integer language internal immutable as 'int4abs'; \
         create table public.needs (a int, b int generated always as (public.inside(a)) stored); insert into public.needs values (1)",
    );
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let refused = restore(&site, &args).run().exits(16);
    assert!(
        words(&refused).contains("TABLE public.needs: it needs FUNCTION public.inside(integer)"),
        "{refused}"
    );
    assert_eq!(loaders(&cluster), "");
    restore(&site, &args).arg("--load-as-superuser").run().ok();
    assert_same_database((&cluster, "shop"), (&cluster, "copy"));
}

#[test]
fn a_role_that_is_no_superuser_loads_itself_or_is_refused_where_it_may_too_much() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 33);
    site.back_up(&[]);
    cluster.psql("postgres", "create role odoo; create role restorer login createdb in role odoo");
    let args = ["--tenant", "shop", "--owner", "odoo", "--as"];
    let as_restorer = |name: &str| restore(&site, &args).arg(name).env("LIFEBOAT_POSTGRES_USER", "restorer");
    let done = as_restorer("copy").arg("--json").run().ok().json();
    assert_eq!(done["plan"]["loads"], "configured-role");
    cluster.psql("postgres", "grant pg_read_server_files to odoo");
    let refused = as_restorer("other").run().exits(16);
    assert!(words(&refused).contains("pg_read_server_files"), "{refused}");
    assert!(!cluster.has_db("other__lifeboat_incomplete"), "{refused}");
    as_restorer("other").arg("--load-as-superuser").run().ok();
}

#[test]
fn the_role_goes_after_errors_signals_and_kills() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 34);
    small_tenant(&cluster, &site.data_dir(), "other", 35);
    // Its load takes as long as we want.
    cluster.psql(
        "shop",
        "create function public.slow(text) returns boolean language plpgsql as \
           'begin if pg_catalog.current_database() ~ ''incomplete'' then perform pg_catalog.pg_sleep(600); end if; return true; end'; \
         create table public.waits (t text check (public.slow(t))); insert into public.waits values ('x')",
    );
    site.back_up(&[]);
    let loading =
        "select count(*) from pg_stat_activity where usename like 'lifeboat\\_load%' and query ~* '^copy'";
    let under_way = |name: &str| {
        let mut running = restore(&site, &["--tenant", "shop", "--as", name]).spawn();
        while cluster.psql("postgres", loading) == "0" {
            assert!(running.is_running(), "it ended: {}", running.stderr_so_far());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        running
    };
    let stopped = under_way("stopped");
    stopped.signal(Signal::TERM);
    assert_eq!(stopped.finish().code, Some(18));
    assert_eq!(loaders(&cluster), "", "after SIGTERM");
    assert!(cluster.has_db("stopped__lifeboat_incomplete"), "what was made stays, for a person to look at");
    // A killed one leaves its role; while it is in use, nobody takes it away.
    let killed = under_way("killed");
    restore(&site, &["--tenant", "other", "--as", "meanwhile"]).run().ok();
    assert_ne!(loaders(&cluster), "", "it is at work");
    killed.kill9();
    assert_ne!(loaders(&cluster), "");
    cluster.psql(
        "postgres",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename like 'lifeboat\\_load%'; \
         update pg_authid set rolvaliduntil = rolvaliduntil - interval '5 minutes' where rolname like 'lifeboat\\_load%'",
    );
    restore(&site, &["--tenant", "other", "--as", "next"]).run().ok();
    assert_eq!(loaders(&cluster), "", "the next restore drops it, whosever it is");
    assert!(cluster.has_db("killed__lifeboat_incomplete"));
    let killed = under_way("killed");
    killed.kill9();
    cluster.psql("postgres", "drop function if exists public.slow(text)");
    let again = restore(&site, &["--tenant", "other", "--as", "killed"]).run();
    again.ok();
    assert_eq!(loaders(&cluster), "", "the same name again drops it at once");
}

#[test]
fn a_note_that_somebody_else_wrote_makes_nothing_a_superusers() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&[]);
    cluster.psql(
        "shop",
        "create role creator login; create role lifeboat_load_forged; grant lifeboat_load_forged to creator; \
         comment on role lifeboat_load_forged is '{\"lifeboat_loads\": \"shop\", \"heir\": \"postgres\"}'; \
         create function public.f() returns void language sql security definer as ''; \
         alter function public.f() owner to lifeboat_load_forged",
    );
    restore(&site, &["--tenant", "shop", "--as", "copy", "--no-neutralize"]).run().ok();
    let owner = "select pg_get_userbyid(proowner) from pg_proc where proname = 'f'";
    assert_eq!(cluster.psql("shop", owner), "lifeboat_load_forged");
    assert_eq!(loaders(&cluster), "lifeboat_load_forged");
}

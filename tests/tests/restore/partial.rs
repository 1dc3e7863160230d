//! `restore --partial`: what cannot be made is named and listed as SQL, everything else is there. And without
//! it: what a neutralized copy is never filled from.

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

use crate::own_role::loaders;
use crate::{assert_nothing_published, databases, drill, restore};

/// An index over a wrapper around `unaccent`, as pg_restore cannot make it, and a constraint that its rows
/// break.
fn unloadable(cluster: &Cluster) {
    cluster.psql(
        "shop",
        "create extension unaccent; \
         create function public.plain(text) returns text language sql immutable as 'select unaccent($1)'; \
         create index partner_plain on res_partner (public.plain(name)); \
         create table public.broken (id int primary key, x int); insert into public.broken values (1, -1); \
         alter table public.broken add constraint positive check (x > 0) not valid; \
         update pg_constraint set convalidated = true where conname = 'positive'; \
         create table public.refers (id int, at int); insert into public.refers values (1, 7); \
         alter table public.refers add constraint nowhere foreign key (at) references public.broken not valid; \
         update pg_constraint set convalidated = true where conname = 'nowhere'",
    );
}

#[test]
fn one_object_does_not_keep_everything_else_away() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 61);
    unloadable(&cluster);
    site.back_up(&[]);
    let before = databases(&cluster);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let strict = restore(&site, &args).run().exits(13);
    assert!(words(&strict).contains("add --partial to restore everything else"), "{strict}");
    assert_nothing_published(&cluster, &site, &before, "copy", &strict);
    let told = restore(&site, &args).args(["--partial", "--json"]).run().exits(3).json();
    let failed: Vec<&str> = told["not_made"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|left| left["failed"] == true)
        .map(|left| left["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        failed,
        [
            "the rows of table public.broken",
            "INDEX public.partner_plain",
            "FK CONSTRAINT public.refers nowhere"
        ],
        "{told}"
    );
    assert!(told["not_made"].to_string().contains("unaccent"), "{told}");
    let file = told["not_made_file"].as_str().unwrap();
    let sql = std::fs::read_to_string(file).unwrap();
    assert!(sql.contains("CREATE INDEX partner_plain ON public.res_partner"), "{sql}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "it may hold what the tenant keeps secret");
    let rows = "select count(*), sum(hashtext(t::text)) from res_partner t";
    assert_eq!(cluster.psql("shop", rows), cluster.psql("copy", rows));
    assert_eq!(cluster.psql("copy", "select count(*) from refers"), "1");
    assert_eq!(loaders(&cluster), "");
    // For a person.
    let shown = restore(&site, &["--tenant", "shop", "--as", "shown", "--partial"]).run().exits(3);
    for said in [
        "NOT MADE: INDEX public.partner_plain: ERROR:",
        "statements that were not run, to check and run later: /",
    ] {
        assert!(words(&shown).contains(said), "{said}: {shown}");
    }
    let failed = drill(&site, "shop", "").run().exits(1);
    assert!(words(&failed).contains("baseline: 3 differences"), "{failed}");
}

#[test]
fn a_copy_asks_no_other_server_and_is_there_without_what_it_would_have_said() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 62);
    cluster.psql("postgres", "create database remote");
    cluster.psql("remote", "create table rate (c text, r numeric); insert into rate values ('EUR', 1)");
    let (host, port) = (cluster.host(), cluster.port());
    cluster.psql(
        "shop",
        &format!(
            "create extension postgres_fdw; \
             create server far foreign data wrapper postgres_fdw options (host '{host}', port '{port}', dbname 'remote'); \
             create user mapping for public server far options (user 'postgres', password 'hush', password_required 'false'); \
             import foreign schema public from server far into public; \
             create materialized view rates as select * from rate; create unique index on rates (c); \
             create materialized view near as select name from res_partner; \
             create materialized view nearer as select count(*) from near"
        ),
    );
    site.back_up(&[]);
    cluster.psql("postgres", "alter system set log_connections = on");
    cluster.psql("postgres", "select pg_reload_conf()");
    let asked = || cluster.log().matches("database=remote").count();
    let before = asked();
    let copy = restore(&site, &["--tenant", "shop", "--as", "copy"]).run().exits(3);
    assert!(words(&copy).contains("NOT MADE: the content of materialized view public.rates"), "{copy}");
    assert_eq!(asked(), before, "nothing asked the other server");
    assert_eq!(
        cluster.psql("copy", "select count > 0 from nearer"),
        "t",
        "the others are filled, in their order"
    );
    let views = "select string_agg(matviewname || ispopulated, ' ' order by matviewname) from pg_matviews where matviewname !~ '^x_'";
    assert_eq!(cluster.psql("copy", views), "neartrue nearertrue ratesfalse");
    drill(&site, "shop", "").run().ok();
    // What is no copy needs it, unless somebody says that it may be missing.
    cluster.psql("postgres", "drop database remote");
    let real = ["--tenant", "shop", "--as", "real", "--no-neutralize"];
    let refused = restore(&site, &real).run().exits(13);
    assert!(words(&refused).contains("1 materialized view could not be filled"), "{refused}");
    restore(&site, &real).arg("--partial").run().exits(3);
}

#[test]
fn without_an_extension_the_rest_is_there() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 63);
    cluster.psql(
        "shop",
        "create extension pg_trgm; create index by_trigram on res_partner using gin (name gin_trgm_ops); \
         create extension citext; create table public.loose (x citext); insert into public.loose values ('X'); \
         update pg_extension set extname = 'gone_' || extname where extname in ('pg_trgm', 'citext')",
    );
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let refused = restore(&site, &args).arg("--dry-run").run().exits(16);
    for said in ["extension gone_citext", "extension gone_pg_trgm", "--partial"] {
        assert!(words(&refused).contains(said), "{said}: {refused}");
    }
    let told = restore(&site, &args).args(["--partial", "--json"]).run().exits(3).json();
    let left = told["not_made"].to_string();
    for said in [
        "EXTENSION gone_citext",
        "TABLE public.loose",
        "the rows of table public.loose",
        "INDEX public.by_trigram",
    ] {
        assert!(left.contains(said), "{said}: {left}");
    }
    let rows = "select count(*), sum(hashtext(t::text)) from res_partner t";
    assert_eq!(cluster.psql("shop", rows), cluster.psql("copy", rows));
}

#[test]
fn what_the_tenants_sql_keeps_secret_is_in_the_private_file_alone() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 64);
    cluster.psql(
        "shop",
        "create extension postgres_fdw; \
         create server far foreign data wrapper postgres_fdw options (host '192.0.2.1'); \
         create user mapping for public server far options (user 'prod', password 'hush-1', password_required 'false'); \
         create subscription s connection 'host=192.0.2.1 password=hush-2' publication p with (connect = false)",
    );
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--as", "copy"];
    let plan = restore(&site, &args).arg("--dry-run").run().ok();
    let shown = restore(&site, &args).run().ok();
    let json = restore(&site, &["--tenant", "shop", "--as", "again"]).arg("--json").run().ok();
    for outcome in [&plan, &shown, &json] {
        let said = words(outcome);
        assert!(said.contains("SUBSCRIPTION s was not made"), "{outcome}");
        assert!(
            said.contains("USER MAPPING public SERVER far was not made") && !said.contains("MAPPING USER"),
            "{outcome}"
        );
        assert!(!said.contains("hush"), "{outcome}");
    }
    assert!(words(&shown).contains("statements that were not run, to check and run later: /"), "{shown}");
    let file = std::fs::read_to_string(json.json()["not_made_file"].as_str().unwrap()).unwrap();
    assert!(file.contains("password 'hush-1'") && file.contains("password=hush-2"), "{file}");
}

//! The server that a tenant goes to lacks something, or has it otherwise: the plan knows and tells the mend, and a flag
//! goes on.

use lifeboat_tests::compare::assert_same_database;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Outcome, Program, small_tenant};

use crate::{databases, drill, restore};

/// A restore into another server.
fn into(site: &Site, target: &Cluster, args: &[&str]) -> Program {
    restore(site, args)
        .env("LIFEBOAT_POSTGRES_HOST", target.host())
        .env("LIFEBOAT_POSTGRES_PORT", target.port().to_string())
        .env("LIFEBOAT_POSTGRES_BIN_DIR", target.bin_dir().display().to_string())
}

/// What the plan refuses: nothing was made, and it says each of `said`.
#[track_caller]
fn refused(site: &Site, target: &Cluster, args: &[&str], said: &[&str]) -> Outcome {
    let before = databases(target);
    let outcome = into(site, target, args).arg("--dry-run").run().exits(16);
    for words_said in said {
        assert!(words(&outcome).contains(words_said), "{words_said:?}: {outcome}");
    }
    assert_eq!(databases(target), before);
    outcome
}

#[test]
fn everything_that_the_server_lacks_is_told_at_once_by_the_plan() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 51);
    let place = cluster.data_dir().join("fast");
    std::fs::create_dir(&place).unwrap();
    lifeboat_tests::installed::hand_over(&place);
    cluster.psql("postgres", &format!("create tablespace fast location '{}'", place.display()));
    cluster.psql(
        "shop",
        "create role odoo; create role bi; create role probe login; create role clerk; create role reader; \
         revoke connect on database shop from public; grant connect on database shop to probe; \
         create table public.placed (id int primary key using index tablespace fast, x text) tablespace fast; \
         insert into public.placed values (1, 'x'); create index placed_x on public.placed (x) tablespace fast; \
         create function public.of_bi() returns int language sql as 'select 1'; alter function public.of_bi() owner to bi; \
         grant select on public.res_partner to reader; \
         alter table public.placed enable row level security; create policy p on public.placed to clerk using (true); \
         create text search dictionary public.d (template = simple, stopwords = english);",
    );
    site.back_up(&[]);
    let target = Cluster::start_default();
    let args = ["--tenant", "shop", "--as", "shop2", "--no-neutralize"];
    std::fs::write(target.data_dir().join("x"), "").unwrap();
    refused(
        &site,
        &target,
        &args,
        &[
            "role probe (it has rights on the database): CREATE ROLE \"probe\"",
            "role bi (it owns something)",
            "role reader (it has rights)",
            "role clerk, which policy placed p names",
            "tablespace fast: --tablespace-map fast=OTHER, or --no-tablespaces",
            "--skip-grants-of-missing-roles",
            "--owner ROLE",
        ],
    );
    // Each flag mends its own.
    let skips = [&args[..], &["--skip-grants-of-missing-roles"]].concat();
    let outcome = refused(&site, &target, &skips, &["tablespace fast"]);
    assert!(!words(&outcome).contains("role bi"), "{outcome}");
    let both = [&skips[..], &["--no-tablespaces", "--json"]].concat();
    let done = into(&site, &target, &both).run().ok().json();
    let left = done["not_made"].to_string();
    for said in ["TO reader", "POLICY", "bi as the owner"] {
        assert!(left.to_lowercase().contains(&said.to_lowercase()), "{said}: {left}");
    }
    let file = std::fs::read_to_string(done["not_made_file"].as_str().unwrap()).unwrap();
    assert!(file.contains("ALTER FUNCTION public.of_bi() OWNER TO \"bi\";"), "{file}");
    assert_eq!(target.psql("shop2", "select count(*) from public.placed"), "1");
    // A tablespace of another name: objects lie there.
    let place = target.data_dir().join("slow");
    std::fs::create_dir(&place).unwrap();
    lifeboat_tests::installed::hand_over(&place);
    target.psql("postgres", &format!("create tablespace slow location '{}'", place.display()));
    target.psql("postgres", "create role bi; create role probe; create role clerk; create role reader");
    let mapped = ["--tenant", "shop", "--as", "shop3", "--no-neutralize", "--tablespace-map", "fast=slow"];
    into(&site, &target, &mapped).run().ok();
    let lie = "select string_agg(relname, ' ' order by relname) from pg_class c join pg_tablespace t on t.oid = reltablespace \
               where spcname = 'slow' and relkind in ('r', 'i') and relname ~ 'placed'";
    assert_eq!(target.psql("shop3", lie), "placed placed_pkey placed_x");
    assert_same_database((&cluster, "shop"), (&target, "shop3"));
    // A drill has none of all that, and passes.
    drill(&site, "shop", "").run().ok();
}

#[test]
fn an_extension_comes_in_the_servers_own_version() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 52);
    cluster.psql(
        "shop",
        "create extension pg_trgm version '1.5'; create index on res_partner using gin (name gin_trgm_ops)",
    );
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let plan = restore(&site, &args).arg("--dry-run").run().ok();
    assert!(
        words(&plan).contains("extension pg_trgm was version 1.5; the server installs its own version 1.6"),
        "{plan}"
    );
    restore(&site, &args).run().ok();
    assert_eq!(cluster.psql("copy", "select extversion from pg_extension where extname = 'pg_trgm'"), "1.6");
    drill(&site, "shop", "").run().ok();
}

#[test]
fn what_the_operating_system_lacks_is_known_at_the_plan() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 53);
    // As if this server had them, and lost them: their definitions are what a dump tells.
    cluster.psql(
        "shop",
        "create collation public.ours (provider = libc, locale = 'C'); \
         update pg_collation set collcollate = 'xx_XX.utf8', collctype = 'xx_XX.utf8' where collname = 'ours'; \
         create text search dictionary public.stops (template = simple, stopwords = english); \
         update pg_ts_dict set dictinitoption = 'stopwords = ''nosuchfile''' where dictname = 'stops'",
    );
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    refused(
        &site,
        &cluster,
        &args,
        &["collation public.ours", "text search dictionary public.stops", "--partial"],
    );
    let told = restore(&site, &args).args(["--partial", "--json"]).run().exits(3).json();
    let left = told["not_made"].to_string();
    assert!(left.contains("COLLATION public.ours") && left.contains("DICTIONARY public.stops"), "{left}");
    assert_same_rows(&cluster);
}

#[track_caller]
fn assert_same_rows(cluster: &Cluster) {
    let rows = "select count(*), sum(hashtext(t::text)) from res_partner t";
    assert_eq!(cluster.psql("shop", rows), cluster.psql("copy", rows));
}

//! The server that a tenant goes to lacks something, or has it otherwise: the plan knows and tells the mend,
//! and a flag goes on.

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
            // one sentence, then the names
            "the server has no roles bi (it owns something), probe (it has rights on the database), reader (it has rights): \
             CREATE ROLE \"bi\"; CREATE ROLE \"probe\"; CREATE ROLE \"reader\", or --skip-grants",
            "role clerk (policy placed p names it)",
            "tablespace fast: --tablespace-map fast=OTHER, or --no-tablespaces",
            "--skip-grants-of-missing-roles",
            "--owner ROLE",
        ],
    );
    // Each flag mends its own.
    let skips = [&args[..], &["--skip-grants-of-missing-roles"]].concat();
    let outcome = refused(&site, &target, &skips, &["tablespace fast"]);
    assert!(!words(&outcome).contains("role bi"), "{outcome}");
    // A role that is not here can be given nothing back, and what became of its objects is told once.
    let shown =
        into(&site, &target, &["--tenant", "shop", "--as", "shown", "--skip-grants-of-missing-roles"]);
    let shown = shown.args(["--no-tablespaces", "--no-neutralize"]).run().ok();
    assert!(!words(&shown).contains("--keep-owners"), "{shown}");
    assert_eq!(shown.stdout.matches(" of bi").count(), 1, "{shown}");
    assert!(
        words(&shown).contains("postgres now owns 1 object of bi (roles that the server does not have):"),
        "{shown}"
    );
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
fn a_database_comes_back_into_its_own_tablespace() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 54);
    let tablespace = |cluster: &Cluster, name: &str| {
        let place = cluster.data_dir().join(name);
        std::fs::create_dir(&place).unwrap();
        lifeboat_tests::installed::hand_over(&place);
        cluster.psql("postgres", &format!("create tablespace {name} location '{}'", place.display()));
    };
    tablespace(&cluster, "north");
    cluster.psql("postgres", "alter database shop set tablespace north");
    cluster.psql("shop", "create table public.placed (id int) tablespace pg_default");
    site.back_up(&[]);
    let lies = |cluster: &Cluster, name: &str| {
        let of = format!(
            "select spcname from pg_database d join pg_tablespace t on t.oid = dattablespace where datname = '{name}'"
        );
        cluster.psql("postgres", &of)
    };
    let placed = "select coalesce(spcname, 'its own') from pg_class c left join pg_tablespace t on t.oid = reltablespace \
                  where relname = 'placed'";
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let plan = restore(&site, &args).arg("--dry-run").run().ok();
    assert!(words(&plan).contains("owned by postgres, in tablespace north"), "{plan}");
    restore(&site, &args).run().ok();
    assert_eq!((lies(&cluster, "copy"), cluster.psql("copy", placed)), ("north".into(), "pg_default".into()));
    assert_same_database((&cluster, "shop"), (&cluster, "copy"));

    // Where the server has none of that name it is as with every other tablespace.
    let target = Cluster::start_default();
    refused(
        &site,
        &target,
        &args,
        &[
            "the server has no tablespace north: --tablespace-map north=OTHER, or --no-tablespaces, or create it",
        ],
    );
    let none = ["--tenant", "shop", "--as", "none", "--no-neutralize", "--no-tablespaces"];
    into(&site, &target, &none).run().ok();
    assert_eq!((lies(&target, "none"), target.psql("none", placed)), ("pg_default".into(), "its own".into()));
    tablespace(&target, "south");
    let mapped = ["--tenant", "shop", "--as", "mapped", "--no-neutralize", "--tablespace-map", "north=south"];
    let done = into(&site, &target, &mapped).run().ok();
    assert!(!words(&done).contains("has no effect"), "{done}");
    assert_eq!(
        (lies(&target, "mapped"), target.psql("mapped", placed)),
        ("south".into(), "pg_default".into())
    );
}

/// As on a server that is not PostgreSQL's own build: what a dump of it names, and nothing in the dump makes.
#[test]
fn libraries_and_access_methods_of_no_extension_are_held_against_the_server() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 55);
    cluster.psql(
        "shop",
        "create access method ours type table handler heap_tableam_handler; \
         create table public.kept (id int) using ours; insert into public.kept values (1); \
         update pg_class set relam = 9000 where relam = (select oid from pg_am where amname = 'ours'); \
         delete from pg_depend where refclassid = 'pg_am'::regclass; update pg_am set oid = 9000 where amname = 'ours'; \
         create function public.of_c() returns trigger language c as '$libdir/tcn', 'triggered_change_notification'; \
         update pg_proc set probin = '$libdir/nosuchlib' where proname = 'of_c'; \
         create role clerk login; alter role clerk in database shop set session_preload_libraries = 'nosuchplugin'",
    );
    site.back_up(&["--kind", "dump"]);
    let args = ["--tenant", "shop", "--as", "copy", "--no-neutralize"];
    let outcome = refused(
        &site,
        &cluster,
        &args,
        &[
            "the server does not have access method ours, which table public.kept uses",
            "library nosuchplugin, which the database's setting session_preload_libraries names",
            "--partial",
        ],
    );
    assert!(!words(&outcome).contains("nosuchlib"), "a function in C is left out anyway: {outcome}");
    let trusted = [&args[..], &["--load-as-superuser"]].concat();
    refused(&site, &cluster, &trusted, &["library $libdir/nosuchlib, which function public.of_c() is in"]);
    let done = restore(&site, &args).args(["--partial", "--json"]).run().exits(3).json();
    let failed = done["not_made"].as_array().unwrap().iter().filter(|left| left["failed"] == true);
    let failed: Vec<&str> = failed.map(|left| left["what"].as_str().unwrap()).collect();
    assert_eq!(failed, ["TABLE public.kept", "the rows of table public.kept"], "{done}");
    let warnings = done["warnings"].to_string();
    for said in [
        "does not have library $libdir/nosuchlib: install it before you run the SQL of function public.of_c()",
        "the setting session_preload_libraries = nosuchplugin is left out",
    ] {
        assert!(warnings.contains(said), "{said}: {warnings}");
    }
    let settings =
        "select count(*) from pg_db_role_setting where array_to_string(setconfig, ' ') ~ 'nosuchplugin'";
    assert_eq!(cluster.psql("postgres", settings), "1", "the tenant's own alone");
    assert_same_rows(&cluster);
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

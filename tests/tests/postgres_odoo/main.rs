//! The agent's modules `postgres` and `odoo` over real servers: sessions, dumps and their
//! reader, baseline, fence, discovery, restore helpers, neutralization.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifeboat::error::Kind;
use lifeboat::odoo::neutralize::{BASE_URL, catalogue};
use lifeboat::odoo::{self, Baseline, Fence, Released};
use lifeboat::postgres::database::{
    database_comment, database_exists, drop_database_if_marked, missing_roles,
};
use lifeboat::postgres::{
    DumpChild, GlobalsDump, PostgresOptions, Ran, ReadBack, Restore, RestoreProgress, Session,
    SnapshotSession, Tools, look, server_info,
};
use lifeboat::postgres::{Publication, apply_settings, create_restore_database, publish_database};
use lifeboat_tests::{Cluster, Options, compare, skip};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

mod connecting;
mod dumping;
mod fencing;
mod lower_bound;
mod odoos_own;
mod one_left;
mod restoring;
mod silencing;
mod tenants;
mod unknown;

/// What Odoo has at the least, with data that a neutralization must find.
const TENANT: &str = "
create table ir_module_module (id serial primary key, name text, state text, latest_version text);
insert into ir_module_module (name, state, latest_version) values ('base','installed','17.0.1.3'),('sale','installed','17.0.1.2'),('crm','uninstalled',null);
create table ir_config_parameter (id serial primary key, key varchar not null unique, value text not null);
insert into ir_config_parameter (key, value) values ('database.uuid','old-uuid'),('database.secret','old-secret'),('web.base.url','https://prod.example'),('web.base.url.freeze','True');
create table ir_attachment (id serial primary key, name text, store_fname varchar, file_size int, write_date timestamp);
insert into ir_attachment (name, store_fname, file_size, write_date)
  select 'a'||i, left(md5(i::text),2)||'/'||md5(i::text)||left(md5(i::text),8), i, '2026-01-01'::timestamp + i * interval '1 second' from generate_series(1,500) i;
insert into ir_attachment (name, store_fname, file_size) select name||' again', store_fname, file_size from ir_attachment where id <= 50;
insert into ir_attachment (name) values ('a link'), ('another link');
create table res_partner (id serial primary key, name text, write_date timestamp);
insert into res_partner (name, write_date) select 'p'||i, '2026-02-01' from generate_series(1,1000) i;
";

fn options(cluster: &Cluster) -> PostgresOptions {
    PostgresOptions {
        host: Some(cluster.host()),
        port: cluster.port(),
        user: cluster.user().into(),
        bin_dir: Some(cluster.bin_dir().into()),
        ..PostgresOptions::default()
    }
}

/// The baseline of a database as it is now.
async fn baseline(options: &PostgresOptions, database: &str) -> lifeboat::error::Result<Baseline> {
    let mut session = Session::connect(options, database).await?;
    look::begin(&mut session).await?;
    Baseline::take(&mut session).await
}

fn tenant(cluster: &Cluster, name: &str) {
    cluster.create_db(name);
    cluster.psql(name, TENANT);
}

async fn tools(cluster: &Cluster) -> Tools {
    Tools::clients(&options(cluster), cluster.major()).await.unwrap()
}

async fn dump(cluster: &Cluster, database: &str) -> Vec<u8> {
    let (options, mut bytes) = (options(cluster), Vec::new());
    let mut child = DumpChild::start(&tools(cluster).await, &options, database, None).unwrap();
    child.take_stdout().unwrap().read_to_end(&mut bytes).await.unwrap();
    child.finish().await.unwrap();
    bytes
}

//! The production host: two tenants, an agent that streams, a base backup, a drill that passed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::{State, state};
use lifeboat_tests::{Cluster, Options, Program, Running, Tenant};

/// A chain of shops with its Lifeboat, set up with nothing but the defaults.
pub struct Shop {
    pub cluster: Cluster,
    pub site: Site,
    pub tenants: Vec<Tenant>,
    _agent: Running,
}

impl Shop {
    /// Sets it up: the first backups, the agent, a drill.
    pub fn open(load: impl FnOnce(&Cluster, &Path) -> Vec<Tenant>) -> Shop {
        let wal = [("wal_level", "replica"), ("max_wal_senders", "5")];
        let settings = wal.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::with(Options { settings, ..Options::default() });
        let mut site = Site::local(&cluster);
        let tenants = load(&cluster, &site.data_dir());
        site.back_up(&[]);
        site.back_up(&["--kind", "base"]);
        site.drill(&tenants[0].name, "").run().ok();
        // As on a host with the identity: the commands of the plan name none.
        site.set("LIFEBOAT_SEAL_IDENTITY_FILES", site.path("lifeboat-identity.txt").display());
        let agent = site.run(&["agent", "--no-progress"]).spawn();
        let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
        let begun = Instant::now();
        while cluster.psql("postgres", streams) != "1" {
            assert!(begun.elapsed() < Duration::from_secs(60), "the agent does not stream");
            std::thread::sleep(Duration::from_millis(50));
        }
        Shop { cluster, site, tenants, _agent: agent }
    }

    /// `lifeboat` on this host.
    pub fn run(&self, args: &[&str]) -> Program {
        self.site.run(args)
    }

    /// A release by the pipeline: the checkpoint, then the release itself asks for it.
    pub fn released(&self, release: &str, image: &str) {
        let who = ["--approved-by", "anna", "--migration-approved-by", "jonas"];
        self.run(&["checkpoint", "--release", release, "--image", image]).args(who).run().ok();
        self.run(&["evidence", "require", "--release", release, "--image", image]).run().ok();
    }

    /// Everything that a database holds, but for sequences, and the files that its rows name.
    pub fn state(&self, database: &str) -> BTreeMap<String, String> {
        let State { database, files } =
            state(&self.cluster, database, &Filestore::of(&self.site.data_dir(), database));
        // replay sets a sequence up to 32 further than it was (PostgreSQL's SEQ_LOG_VALS)
        let rows = database.into_iter().filter(|(name, _)| !name.starts_with("sequence "));
        let files = files.into_iter().map(|(path, file)| (path.display().to_string(), format!("{file:?}")));
        rows.chain(files).collect()
    }

    /// The name of the state that a promotion kept, opened for connections as the runbook says.
    pub fn replaced(&self, tenant: &str) -> String {
        let sql = format!("select datname from pg_database where datname like '{tenant}.replaced-%'");
        let name = self.cluster.psql("postgres", &sql);
        self.cluster.psql("postgres", &format!("alter database \"{name}\" allow_connections true"));
        name
    }

    /// The currencies of orders, payments and sales of the shop that [`crate::business`] copies.
    pub fn currencies(&self, tenant: &str) -> [String; 3] {
        let of = |table: &str, filter: &str| {
            format!(
                "select c.name from res_currency c join {table} t on t.currency_id = c.id where {filter} order by t.id limit 1"
            )
        };
        let of_line = "t.state = 'sale' and exists (select 1 from sale_order_line l where l.order_id = t.id and l.display_type is null)";
        let of_company =
            "t.id = (select company_id from pos_order where amount_total > 0 order by id limit 1)";
        [
            of("sale_order", of_line),
            of("account_payment", "t.payment_type = 'inbound'"),
            of("res_company", of_company),
        ]
        .map(|sql| self.cluster.psql(tenant, &sql))
    }
}

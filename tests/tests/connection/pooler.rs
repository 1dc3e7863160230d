//! A pooler is refused by name, and nothing of ours stays in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::installed::{Runner, dies_with_us, hand_over};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, skip, small_tenant};
use tempfile::TempDir;

use super::{assert_both_say, doctor, restore};

/// A running pgbouncer in front of a cluster.
struct Bouncer {
    dir: TempDir,
    port: u16,
    child: Child,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    dirs.map(|dir| dir.join("pgbouncer")).find(|program| program.exists())
}

impl Bouncer {
    fn start(program: &Path, cluster: &Cluster, mode: &str, ignore: &str) -> Bouncer {
        let dir = tempfile::Builder::new().prefix("lbp-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        let at = dir.path().display();
        let port = free_port();
        let ini = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr=\nunix_socket_dir={at}\nlisten_port={port}\n\
             auth_type=trust\nauth_file={at}/users\npool_mode={mode}\ndefault_pool_size=1\nignore_startup_parameters={ignore}\n",
            cluster.host(),
            cluster.port()
        );
        fs::write(dir.path().join("ini"), ini).unwrap();
        fs::write(dir.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        hand_over(dir.path());
        let mut command = dies_with_us(program);
        command.arg("-q").arg(dir.path().join("ini")).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Runner::find().apply(&mut command); // it refuses to run as root
        let child = lifeboat_tests::children::spawn_lasting(command).unwrap();
        let socket = dir.path().join(format!(".s.PGSQL.{port}"));
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Bouncer { dir, port, child }
    }

    /// What a client of the pool gets to see.
    fn psql(&self, cluster: &Cluster, sql: &str) -> String {
        let mut psql: Command = cluster.client("psql");
        psql.args(["-XAtq", "-d", "acme", "-c", sql]);
        psql.env("PGHOST", self.dir.path()).env("PGPORT", self.port.to_string());
        let done = psql.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that a session can have set.
const STATE: &str = "select string_agg(name || '=' || setting, ',' order by name) from pg_settings \
                     where source = 'session' and name <> 'application_name'";

#[test]
fn a_pooler_is_refused_by_name_and_keeps_nothing_of_ours() {
    let Some(program) = program() else { skip!("pgbouncer is not installed") };
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 3);
    site.back_up(&[]);
    let real = format!("host = \"{}\"", cluster.host());
    for mode in ["session", "transaction"] {
        for ignore in ["extra_float_digits", "extra_float_digits,options"] {
            let bouncer = Bouncer::start(&program, &cluster, mode, ignore);
            let before = bouncer.psql(&cluster, STATE);
            site.edit(&real, &format!("host = \"{}\"", bouncer.dir.path().display()));
            site.edit(&format!("port = {}", cluster.port()), &format!("port = {}", bouncer.port));
            let told = doctor(&site);
            assert!(
                told.contains("a connection pooler (such as pgbouncer) answers"),
                "{mode}, {ignore}: {told}"
            );
            assert!(told.contains("connect to the server itself"), "{mode}, {ignore}: {told}");
            let outcomes = [
                site.backup(&[]).run().exits(4),
                site.backup(&["--kind", "base"]).run().exits(4),
                restore(&site, &["--tenant", "acme", "--as", "copy"]).run().exits(4),
            ];
            assert_both_say(&outcomes, "a connection pooler (such as pgbouncer) answers");
            assert_eq!(bouncer.psql(&cluster, STATE), before, "{mode}, {ignore}: the pool's next client");
            site.edit(&format!("host = \"{}\"", bouncer.dir.path().display()), &real);
            site.edit(&format!("port = {}", bouncer.port), &format!("port = {}", cluster.port()));
        }
    }
    assert!(!cluster.has_db("copy"));
    site.back_up(&[]);
}

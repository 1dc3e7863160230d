//! What the tests share: a site that the server's own user may use, base copies, and recovery
//! from one through `lifeboat wal fetch`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_tests::Cluster;
pub use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;

/// How long anything in these tests may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// `lifeboat wal <args>` with the site's configuration, as a shell command.
pub fn shell_command(site: &Site, args: &str) -> String {
    format!("{} --config {} wal {args}", bin_dir().join("lifeboat").display(), site.config().display())
}

/// `restore_command` with the site's identity.
pub fn restore_command(site: &Site) -> String {
    shell_command(site, &format!("fetch %f %p --identity {}", site.path("lifeboat-identity.txt").display()))
}

/// Waits until `what` gives true.
pub fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A base copy without any WAL.
pub fn base_copy(cluster: &Cluster, name: &str) -> PathBuf {
    let dir = cluster.data_dir().with_file_name(name);
    cluster
        .run("pg_basebackup", &["-D", dir.to_str().unwrap(), "-X", "none", "--checkpoint=fast", "--no-sync"]);
    dir
}

/// Ends the server and brings it back from a base copy: its old data directory is moved aside, so
/// that WAL can come from `restore_command` alone. It is promoted when the WAL ends.
pub fn recover(cluster: &Cluster, base: &Path, restore_command: &str) {
    recover_with(cluster, base, "recovery.signal", restore_command);
    wait_for("recovery ends", || cluster.psql("postgres", "select pg_is_in_recovery()") == "f");
}

/// [`recover`] with this signal file, until the server answers.
pub fn recover_with(cluster: &Cluster, base: &Path, signal: &str, restore_command: &str) {
    cluster.stop();
    let aside = PathBuf::from(format!("{}.before", base.display()));
    fs::rename(cluster.data_dir(), aside).unwrap();
    fs::rename(base, cluster.data_dir()).unwrap();
    fs::write(cluster.data_dir().join(signal), "").unwrap();
    let conf = cluster.data_dir().join("postgresql.auto.conf");
    let mut text = fs::read_to_string(&conf).unwrap();
    text.push_str(&format!(
        "archive_mode = 'off'\nsynchronous_standby_names = ''\nrestore_command = '{restore_command}'\n"
    ));
    fs::write(&conf, text).unwrap();
    hand_over(&cluster.data_dir());
    cluster.start_again();
}

/// A number that stands for all rows of a table.
pub fn digest(cluster: &Cluster, table: &str) -> String {
    cluster.psql(
        "postgres",
        &format!("select count(*) || ' ' || md5(string_agg(t::text, ',' order by t::text)) from {table} t"),
    )
}

//! Too little memory: a backup ends with a word, soon, and nothing that it leaves counts.

use std::time::Duration;

use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Program, small_tenant};

/// From too little to begin with (no thread can be had) to too little to pack (MiB, RLIMIT_DATA). With less
/// the kernel cannot even load the program.
const LIMITS: [u64; 7] = [4, 5, 6, 8, 10, 14, 24];
/// A command that can have no more memory ends by itself; it is not waited for longer than this.
const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn a_backup_that_can_have_no_memory_ends_soon_and_the_next_one_is_whole() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 4);
    for mebibytes in LIMITS {
        let done = Program::at("/usr/bin/prlimit".into())
            .arg(format!("--data={}", mebibytes << 20))
            .arg("--")
            .arg(bin_dir().join("lifeboat"))
            .args(["backup", "--no-progress"])
            .cwd(site.path(""))
            .env("RUST_BACKTRACE", "0")
            .limit(LIMIT)
            .run();
        assert!(done.code != Some(0) || mebibytes > 10, "{mebibytes} MiB: {done}");
        let starved =
            done.stderr.contains("refused to start a thread") && done.stderr.contains("backup.workers");
        let allocation = done.stderr.contains("memory allocation of");
        assert!(done.code == Some(0) || starved || allocation, "{mebibytes} MiB: {done}");
        assert!(!done.stderr.contains("a bug in lifeboat"), "{mebibytes} MiB: {done}");
    }
    site.back_up(&[]);
    site.run(&["verify", "--no-progress"]).run().ok();
}

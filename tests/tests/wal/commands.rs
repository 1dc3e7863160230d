//! `lifeboat wal push` and `lifeboat wal fetch` as commands: exit codes and what they leave.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, S3};

const USAGE: i32 = 2;
pub const COULD_NOT_LOOK: i32 = 180;

/// A copy of the server's newest segment, which is complete then.
pub fn segment(cluster: &Cluster, dir: &Path) -> PathBuf {
    cluster.psql("postgres", "select pg_logical_emit_message(true, 'x', 'x')");
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    cluster.psql("postgres", "select pg_switch_wal()");
    let copy = dir.join("pg_wal").join(&name);
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(cluster.data_dir().join("pg_wal").join(&name), &copy).unwrap();
    copy
}

pub fn push(site: &Site, path: &Path) -> Outcome {
    site.run(&["wal", "push"]).arg(path).run()
}

pub fn fetch(site: &Site, name: &str, to: &Path) -> Outcome {
    site.run(&["wal", "fetch", name]).arg(to).args(["--identity", "lifeboat-identity.txt"]).run()
}

pub fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The name of the segment `n` after this one.
fn after(path: &Path, n: u64) -> String {
    let (timeline, number) = name(path).split_at(8);
    format!("{timeline}{:016X}", u64::from_str_radix(number, 16).unwrap() + n)
}

#[test]
fn a_segment_goes_in_once_and_comes_back_and_nothing_else_takes_its_name() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let path = segment(&cluster, &site.path(""));
    push(&site, &path).ok();
    let stored =
        || fs::read_dir(site.path("repo/instances/prod/wal/00000001").join(name(&path))).unwrap().count();
    assert_eq!(stored(), 1);
    push(&site, &path).ok();
    assert_eq!(stored(), 1);
    let back = site.path("RECOVERYXLOG");
    fs::write(&back, "left behind").unwrap();
    fetch(&site, name(&path), &back).ok();
    assert_eq!(fs::read(&back).unwrap(), fs::read(&path).unwrap());

    let mut other = fs::read(&path).unwrap();
    other[9000] ^= 1;
    fs::write(&path, &other).unwrap();
    push(&site, &path).exits(17).says("with other content");
    // another name, another cluster, cut, no segment at all
    let renamed = path.with_file_name(after(&path, 1));
    fs::write(&renamed, &other).unwrap();
    push(&site, &renamed).exits(10).says("the header of");
    other[8..16]
        .copy_from_slice(&(u64::from_str_radix(&name(&renamed)[16..], 16).unwrap() << 24).to_le_bytes());
    fs::write(&renamed, &other[..1 << 20]).unwrap();
    push(&site, &renamed).exits(10).says("it has 1048576 bytes");
    other[24] ^= 1;
    fs::write(&renamed, &other).unwrap();
    push(&site, &renamed).exits(9).says("system identifier");
    fs::write(&renamed, vec![0; 16 << 20]).unwrap();
    push(&site, &renamed).exits(10).says("page magic");
    push(&site, &path.with_file_name("postgresql.conf")).exits(USAGE);
    let gone = push(&site, &path.with_file_name("00000002.history")).exits(5);
    gone.says("effect: nothing was stored").says("check the path: PostgreSQL runs archive_command");
    assert_eq!(stored(), 1);
}

#[test]
fn what_is_not_there_is_told_from_what_could_not_be_looked_for() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let path = segment(&cluster, &site.path(""));
    let back = site.path("back");
    let code = |outcome: Outcome| outcome.code.unwrap();
    assert_eq!(
        code(fetch(&site, name(&path), &back)),
        COULD_NOT_LOOK + 5,
        "nothing of the instance is there"
    );
    push(&site, &path).ok();
    assert_eq!(code(fetch(&site, &after(&path, 1), &back)), 1);
    assert_eq!(code(fetch(&site, "00000002.history", &back)), 1);
    // a gap is not the end
    fs::write(&back, "").unwrap();
    let before = format!("{:024X}", u128::from_str_radix(name(&path), 16).unwrap() - 1);
    fetch(&site, &before, &back).exits(COULD_NOT_LOOK + 10).says("although the later");
    assert_eq!(fs::read(&back).unwrap(), b"");
    for (fault, expected) in
        [(on("GET", "list-type").respond(403), 6), (on("GET", "list-type").respond(503), 7)]
    {
        let planned = s3.plan(fault);
        assert_eq!(code(fetch(&site, &after(&path, 1), &back)), COULD_NOT_LOOK + expected);
        assert!(planned.fired() > 0);
        s3.faults().clear();
    }
    assert_eq!(code(site.run(&["wal", "fetch", "--nonsense"]).run()), COULD_NOT_LOOK + USAGE);
    assert_eq!(
        code(site.run(&["--config", "/nonexistent", "wal", "fetch", "a", "b"]).run()),
        COULD_NOT_LOOK + 4
    );
    assert_eq!(code(fetch(&site, "postgresql.conf", &back)), COULD_NOT_LOOK + USAGE);
    let denied = s3.plan(on("PUT", "wal/").respond(403));
    push(&site, &segment(&cluster, &site.path(""))).exits(6);
    assert!(denied.fired() > 0);
}

#[test]
fn damage_and_contradiction_are_refused_and_the_target_stays_as_it_was() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let path = segment(&cluster, &site.path(""));
    push(&site, &path).ok();
    let folder = site.path("repo/instances/prod/wal/00000001").join(name(&path));
    let object = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&object).unwrap();
    let back = site.path("back");
    fs::write(&back, "as it was").unwrap();
    let refused = |what: &str| {
        fetch(&site, name(&path), &back).exits(COULD_NOT_LOOK + 10);
        assert_eq!(fs::read(&back).unwrap(), b"as it was", "{what}");
        assert!(!site.path("back.new").exists());
    };
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&object, &flipped).unwrap();
    refused("flipped");
    fs::write(&object, &whole[..whole.len() - 1]).unwrap();
    refused("cut");
    fs::write(&object, &whole).unwrap();
    let parts: Vec<&str> = name(&object).splitn(4, '-').collect();
    let other = format!("{}-{}-{}-{}", parts[0], parts[1], "0".repeat(32), parts[3]);
    let other = folder.join(other);
    fs::copy(&object, &other).unwrap();
    fetch(&site, name(&path), &site.path("beside")).ok(); // nobody signed that name: it decides nothing
    fs::remove_file(other).unwrap();
    let mut content = fs::read(&path).unwrap();
    content[9000] ^= 1;
    site_put(&site, name(&path), 0, &content);
    refused("two truths");
}

#[test]
fn pieces_of_a_tail_are_a_segment_with_zeros_behind_them() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let path = segment(&cluster, &site.path(""));
    push(&site, &path).ok(); // so that the instance is known
    let whole = fs::read(&path).unwrap();
    let folder = site.path("repo/instances/prod/wal/00000001").join(name(&path));
    fs::remove_dir_all(&folder).unwrap();
    site_put(&site, name(&path), 0, &whole[..10_000]);
    site_put(&site, name(&path), 9_000, &whole[9_000..20_000]);
    site_put(&site, name(&path), 30_000, &whole[30_000..40_000]);
    let back = site.path("back");
    fetch(&site, name(&path), &back).ok();
    let read = fs::read(&back).unwrap();
    assert_eq!(read.len(), whole.len());
    assert_eq!(read[..20_000], whole[..20_000]);
    assert!(read[20_000..].iter().all(|byte| *byte == 0));
    // not the tail any more once something is behind it
    site_put(&site, &after(&path, 1), 0, &whole[..8192]);
    fetch(&site, name(&path), &back).exits(COULD_NOT_LOOK + 10).says("20000 of 16777216");
    let status = site.run(&["wal", "status", "--offline"]).run().exits(3);
    assert_eq!(status.stdout.matches("on timeline 1 is missing").count(), 2, "{status}");
    // a damaged piece is passed over where a whole segment holds the same
    site_put(&site, name(&path), 0, &whole);
    fetch(&site, name(&path), &back).ok();
    assert_eq!(fs::read(&back).unwrap(), whole);
}

/// Stores one piece as the agent would.
fn site_put(site: &Site, file: &str, begin: u32, content: &[u8]) {
    use lifeboat::archive::seal::Recipients;
    use lifeboat::archive::signature::{SigningKey, TrustedKeys};
    use lifeboat::archive::wal::WalSealer;
    use lifeboat::config::{Config, Inputs};
    use lifeboat::repository::Repository;
    use lifeboat::repository::wal::WalWriter;
    let config = Config::load(&Inputs { config: Some(site.config()), ..Inputs::default() }).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let repository = Repository::configured(&config).await.unwrap();
        let sealer = WalSealer {
            origin: repository.origin().await.unwrap(),
            recipients: Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())
                .unwrap(),
            signing: SigningKey::load(config.signing.key_file.as_deref().unwrap()).unwrap(),
            zstd_level: 3,
        };
        let writer = WalWriter::new(repository, sealer, TrustedKeys::default());
        writer.put_range(file.parse().unwrap(), begin, content.to_vec().into()).await.unwrap();
    });
}

#[test]
fn a_push_and_a_first_backup_at_one_moment_both_succeed() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = std::sync::Arc::new(Site::s3(&cluster, &s3, "dr"));
    lifeboat_tests::small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let path = segment(&cluster, &site.path(""));
    let faster = site.clone();
    // Just before the backup says whose instance it is, the push says so.
    s3.plan(on("PUT", "instance.json").nth(1).call(move |_| {
        push(&faster, &path).ok();
    }));
    site.back_up(&["--kind", "dump"]);
    assert_eq!(s3.keys("dr/instances/prod/instance.json").len(), 1);
}

/// The name of WAL holds the digests of both files: it would not count once the right file is back.
#[test]
fn no_wal_is_stored_under_altered_descriptions() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    lifeboat_tests::small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&[]);
    for file in ["repo/lifeboat.json", "repo/instances/prod/instance.json"] {
        let file = site.path(file);
        let text = fs::read_to_string(&file).unwrap();
        push(&site, &segment(&cluster, &site.path(""))).ok();
        let path = segment(&cluster, &site.path(""));
        fs::remove_file(&file).unwrap();
        fs::write(&file, format!("{text} ")).unwrap();
        push(&site, &path).exits(9).says("was altered").says("damaged-repository.md");
        assert!(!site.path("repo/instances/prod/wal/00000001").join(name(&path)).exists());
        fs::remove_file(&file).unwrap();
        fs::write(&file, &text).unwrap();
        push(&site, &path).ok();
    }
    site.run(&["verify"]).run().ok();
}

//! Object storage on its bad days. After each fault: success, or a clean error and no manifest
//! that is not whole; then a run that succeeds.

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::faults::{Fault, on};
use lifeboat_tests::{Cluster, S3, small_tenant};

use crate::archive::Archive;
use crate::both_kinds::assert_complete;
use lifeboat_tests::site::Site;

#[test]
fn every_fault_ends_in_success_or_in_a_clean_error() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let mut site = Site::s3(&cluster, &s3, "f");
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 31);
    site.set("LIFEBOAT_BACKUP_PACK_BYTES", "2MiB");
    site.back_up(&[]);
    let mut before = Archive::of(&site).ids();

    // what is planned, and the exit code: 0 where trying again must help
    let cases: Vec<(&str, Vec<Fault>, i32)> = vec![
        ("503 for a while", vec![on("PUT", "").first(4).respond(503)], 0),
        ("503 on reading", vec![on("GET", "").first(3).respond(503)], 0),
        ("500 after landing", vec![on("PUT", "/packs/").nth(1).land_and_respond(500)], 0),
        ("answer lost: pack", vec![on("PUT", "/packs/").nth(1).land_and_drop_connection()], 0),
        ("answer lost: manifest", vec![on("PUT", "manifest.json").nth(2).land_and_drop_connection()], 0),
        ("answer lost: signature", vec![on("PUT", ".sig").nth(1).land_and_drop_connection()], 0),
        ("answer lost: lease", vec![on("PUT", "/lease").nth(1).land_and_drop_connection()], 0),
        ("connection dropped", vec![on("PUT", "").pick(|n| n % 3 == 0).drop_connection()], 0),
        ("upload cut", vec![on("PUT", "/packs/").nth(1).cut_upload(5_000)], 0),
        ("hang once", vec![on("PUT", "/packs/").nth(1).hang()], 0),
        ("503 for ever", vec![on("PUT", "/packs/").from(1).respond(503)], 7),
        ("503 for ever on manifests", vec![on("PUT", "manifest.json").from(1).respond(503)], 7),
        ("403 on packs", vec![on("PUT", "/packs/").from(1).respond(403)], 6),
        ("403 on everything", vec![on("*", "").from(1).respond(403)], 6),
        ("403 after a while", vec![on("PUT", "").from(6).respond(403)], 6),
        ("hang for ever", vec![on("PUT", "index.zst.age").from(1).hang()], 7),
        ("gone", vec![on("*", "").from(4).drop_connection()], 7),
    ];
    for (n, (name, faults, code)) in cases.into_iter().enumerate() {
        // something new for the filestore to store, of a pack or two
        tenant.upload(&cluster, name, &vec![n as u8; 300 << 10]);
        let planned: Vec<_> = faults.into_iter().map(|fault| s3.plan(fault)).collect();
        println!("{name}");
        let outcome = site.backup(&["--json"]).run();
        // one document, whatever happened: `json` refuses two
        assert_eq!(
            outcome.json()["error"]["exit_code"].as_i64(),
            outcome.code.filter(|code| *code != 0).map(i64::from)
        );
        assert!(planned.iter().any(|p| p.fired() > 0), "{name}: nothing fired");
        s3.faults().clear();
        println!("{name}: {:?} after {:?}", outcome.code, outcome.took);
        let archive = Archive::of(&site);
        let after = archive.ids();
        assert!(before.iter().all(|id| after.contains(id)), "{name}: something is gone");
        if code == 0 {
            outcome.ok();
        } else {
            let stored = after.len() > before.len();
            assert!(outcome.code == Some(code) || (stored && outcome.code == Some(3)), "{name}: {outcome}");
            let dumps = |ids: &[lifeboat::names::SnapshotId]| {
                ids.iter().filter(|id| id.as_str().contains("-dump-")).count()
            };
            assert_eq!(dumps(&after), dumps(&before), "{name}: no dump can be whole");
            // a lease that could not be given back is the same state directory's own
            site.backup(&[]).run().ok();
        }
        assert_eq!(s3.open_uploads(), 0, "{name}: unfinished uploads");
        before = Archive::of(&site).ids();
    }
    let archive = Archive::of(&site);
    assert_complete(&archive, &cluster, &tenant);
    assert!(archive.newest(SnapshotKind::Globals, None).packs().count() == 1);
}

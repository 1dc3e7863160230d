//! Reports of restore drills: evidence, so nothing in them is believed that nobody signed.

use std::fs;

use lifeboat::archive::signature::SigningKey;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::Value;

use crate::{foreign, found, objects, those, verify};

#[test]
fn a_report_that_is_not_what_was_signed_there_is_found_and_an_unsigned_one_is_not_called_right() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 2);
    site.back_up(&[]);
    site.drill("shop", "").run().ok();
    let all = objects(&site.stored);
    let [json, signature, text] = ["report.json", "report.json.sig", "report.md"]
        .map(|name| *those(&all, "/drills/").iter().find(|p| p.ends_with(name)).unwrap());
    let folder = json.parent().unwrap();
    let (json_bytes, signature_bytes, text_bytes) =
        (fs::read(json).unwrap(), fs::read(signature).unwrap(), fs::read(text).unwrap());
    let before = verify(&site, &[]).ok();
    assert!(before.stdout.contains("all of it"), "{before}");

    // Files of the drill that are gone, longer, or not its own.
    fs::remove_file(text).unwrap();
    assert!(found(&site, &[], text).stdout.contains("it is missing"));
    fs::write(text, [&text_bytes[..], b"x"].concat()).unwrap();
    found(&site, &[], text);
    fs::write(text, &text_bytes).unwrap();
    let beside = folder.join("board.pdf");
    fs::write(&beside, "x").unwrap();
    foreign(&site, &[], &beside, 0);
    fs::remove_file(&beside).unwrap();

    // Copied under another name, signature and all.
    let copy = folder.with_file_name("20200101T000000Z-drill-00000000");
    fs::create_dir(&copy).unwrap();
    for path in [json, signature, text] {
        fs::copy(path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let outcome = found(&site, &[], &copy.join("report.json"));
    assert!(outcome.stdout.contains("under another name"), "{outcome}");
    fs::remove_dir_all(&copy).unwrap();

    // Signed once: without its signature, by another key, or of another repository by ours.
    fs::remove_file(signature).unwrap();
    let outcome = found(&site, &[], json);
    assert!(outcome.stdout.contains("its signature report.json.sig is missing"), "{outcome}");
    verify(&site, &["--accept-unsigned"]).ok();
    fs::write(signature, SigningKey::generate("other").unwrap().sign(&json_bytes).unwrap()).unwrap();
    let outcome = found(&site, &[], json);
    assert!(outcome.stdout.contains("which is not in signing.trusted_keys"), "{outcome}");
    let ours = SigningKey::load(&site.path("lifeboat-signing-key")).unwrap();
    let write = |change: &dyn Fn(&mut Value), sign: bool| {
        let mut report: Value = serde_json::from_slice(&json_bytes).unwrap();
        change(&mut report);
        let bytes = serde_json::to_vec_pretty(&report).unwrap();
        fs::write(json, &bytes).unwrap();
        let _ = fs::remove_file(signature);
        if sign {
            fs::write(signature, ours.sign(&bytes).unwrap()).unwrap();
        }
    };
    for field in ["repository", "instance"] {
        write(&|report| report["predicate"]["stored"][field] = "another".into(), true);
        let outcome = found(&site, &[], json);
        assert!(outcome.stdout.contains("written for another repository or instance"), "{outcome}");
    }

    // Never signed, and of the time before reports named their files: nothing is known of them.
    write(&|report| report["predicate"]["stored"]["signed"] = false.into(), false);
    let outcome = verify(&site, &[]).ok();
    assert!(
        outcome.stdout.contains("nobody signed it") && !outcome.stdout.contains("all of it"),
        "{outcome}"
    );
    // Those were no Statements, either.
    let bare = |report: &mut Value| {
        *report = report["predicate"].take();
        report.as_object_mut().unwrap().remove("stored");
    };
    write(&bare, true);
    let outcome = verify(&site, &[]).ok();
    let key = text.strip_prefix(&site.stored).unwrap().display();
    assert!(outcome.stdout.contains(&format!("not checked: {key}\n")), "{outcome}");
    assert!(!outcome.stdout.contains("all of it"), "{outcome}");
    let told = verify(&site, &["--json"]).ok().json();
    let skipped = told["skipped"].as_array().unwrap();
    assert!(skipped.iter().any(|one| one["object"] == key.to_string()), "{told}");

    // Being written, or lost: it does not count, and is said.
    fs::remove_file(json).unwrap();
    let outcome = verify(&site, &[]).ok();
    assert!(
        outcome.stdout.contains("unfinished: ") && outcome.stdout.contains("no report.json"),
        "{outcome}"
    );

    fs::write(json, &json_bytes).unwrap();
    fs::write(signature, &signature_bytes).unwrap();
    let after = verify(&site, &[]).ok();
    assert!(after.stdout.contains("all of it"), "{after}");
}

//! The policies of deploy/s3 allow what a host does, and nothing else is asked of the store: each request is
//! held against the policy as it stands in the file, and refused (403) where no statement of it allows it.

use std::process::Command;
use std::time::Duration;

use lifeboat_tests::faults::{self, Planned, Served};
use lifeboat_tests::program::workspace_root;
use lifeboat_tests::s3::BUCKET;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Ministack, S3, skip, small_tenant};
use serde_json::Value;

/// One word or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        value => value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
    }
}

/// `*` stands for anything, as in IAM.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, rest)) => text.strip_prefix(begin).is_some_and(|text| {
            (0..=text.len()).filter(|n| text.is_char_boundary(*n)).any(|n| like(rest, &text[n..]))
        }),
    }
}

/// A parameter of the query.
fn parameter(served: &Served, name: &str) -> Option<String> {
    let pairs = served.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
    Some(value.replace("%2F", "/").replace("%2f", "/"))
}

/// What S3 calls a request, and the resource that it is asked of.
fn action(served: &Served) -> (&'static str, String) {
    let name = served.path.trim_start_matches('/');
    let resource = format!("arn:aws:s3:::{}", name.trim_end_matches('/'));
    let of_bucket = !name.trim_end_matches('/').contains('/');
    let has = |name| parameter(served, name).is_some();
    let action = match (served.method.as_str(), of_bucket) {
        ("GET", true) if has("uploads") => "s3:ListBucketMultipartUploads",
        ("GET", true) if has("versions") => "s3:ListBucketVersions",
        ("GET", true) if has("versioning") => "s3:GetBucketVersioning",
        ("GET", true) if has("object-lock") => "s3:GetBucketObjectLockConfiguration",
        ("GET", true) if has("encryption") => "s3:GetEncryptionConfiguration",
        ("GET", true) if has("logging") => "s3:GetBucketLogging",
        ("GET", true) if has("publicAccessBlock") => "s3:GetBucketPublicAccessBlock",
        ("GET", true) if has("policyStatus") => "s3:GetBucketPolicyStatus",
        ("GET", false) if has("retention") => "s3:GetObjectRetention",
        ("PUT", false) if has("retention") => "s3:PutObjectRetention",
        ("GET", false) if has("legal-hold") => "s3:GetObjectLegalHold",
        ("PUT", false) if has("legal-hold") => "s3:PutObjectLegalHold",
        ("GET" | "HEAD", false) if has("versionId") => "s3:GetObjectVersion",
        ("DELETE", false) if has("versionId") => "s3:DeleteObjectVersion",
        ("GET" | "HEAD", true) => "s3:ListBucket",
        ("GET", false) if has("uploadId") => "s3:ListMultipartUploadParts",
        ("GET" | "HEAD", false) => "s3:GetObject",
        ("PUT" | "POST", false) => "s3:PutObject",
        ("DELETE", false) if has("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", false) | ("POST", true) => "s3:DeleteObject",
        other => panic!("no action is known for {other:?}: {served:?}"),
    };
    (action, resource)
}

fn allows(policy: &Value, served: &Served) -> bool {
    let (action, resource) = action(served);
    policy["Statement"].as_array().unwrap().iter().any(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        let condition = &statement["Condition"]["StringLike"]["s3:prefix"];
        let prefix = parameter(served, "prefix").unwrap_or_default();
        // Which objects are deleted is in the body: the test looks at what is gone.
        let of_many = action == "s3:DeleteObject" && served.method == "POST";
        texts(&statement["Action"]).contains(&action)
            && (of_many || texts(&statement["Resource"]).iter().any(|pattern| like(pattern, &resource)))
            && (condition.is_null() || texts(condition).iter().any(|pattern| like(pattern, &prefix)))
    })
}

/// From now on the store does what this file allows.
fn obey(s3: &S3, file: &str) -> Planned {
    let file = workspace_root().join("deploy/s3").join(file);
    let text = std::fs::read_to_string(file).unwrap().replace("acme-dr", BUCKET);
    let policy: Value = serde_json::from_str(&text).unwrap();
    s3.faults().clear();
    s3.faults().clear_log();
    s3.plan(faults::on("*", "").only(move |served| !allows(&policy, served)).respond(403))
}

#[test]
fn the_policy_of_expire_lets_it_delete_and_read_no_content() {
    let (cluster, s3) = (Cluster::start_default(), S3::start());
    let site = Site::s3(&cluster, &s3, "odoo");
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 5);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    for at in [5, 4, 3, 2, 1, 0] {
        site.backup(&["--tenant", "shop"]).run().ok();
        s3.age("odoo/instances", days(u64::from(at > 0)));
    }
    // Another host, with a key of its own and nothing that opens archives.
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(site.path("expire-key"));
    assert!(keygen.status().unwrap().success());
    let text = std::fs::read_to_string(site.config()).unwrap();
    let classes = "\n[class.all]\ntenants = ['*']\nwindow = '0s'\ndaily = 3\nweekly = 0\nmonthly = 0\n";
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("lifeboat-signing-key")).collect();
    std::fs::write(site.path("expire.toml"), format!("{}{classes}", lines.join("\n"))).unwrap();
    let expire = |more: &[&str]| {
        let args = [&["--config", "expire.toml", "expire", "--json", "--stored-only"], more].concat();
        let key = site.path("expire-key");
        let run = site.run(&args).env("LIFEBOAT_ODOO_TENANTS", "shop").env("LIFEBOAT_EXPIRE_KEY_FILE", key);
        run.env("LIFEBOAT_EXPIRE_MAX_PERCENT", "80").run()
    };
    site.drill("shop", "").run().ok();
    s3.age("odoo/instances/prod/drills", days(600));
    site.drill("shop", "").run().ok();
    // What was left of a backup that was killed, and a test of the store.
    let left = |key: &str| {
        let file = s3.object(key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "left").unwrap();
        s3.age(key, days(5));
    };
    let keys = s3.keys("odoo/instances/prod/snapshots");
    let own = keys.iter().rfind(|key| key.contains("/packs/")).unwrap();
    left(&format!("{}/packs/000077.tar.zst.age", own.split_once("/packs/").unwrap().0));
    left("odoo/probes/probe-0011");
    let hangs = s3.plan(faults::on("POST", "uploadId").first(1).hang());
    let mut noise = vec![0; 24 << 20];
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut random, &mut noise).unwrap();
    tenant.filestore().put(&noise);
    let killed = site.backup(&["--kind", "filestore", "--tenant", "shop"]).spawn();
    hangs.wait_fired();
    killed.kill9();
    s3.age_uploads(days(5), true);
    let before = s3.keys("odoo");
    let denied = obey(&s3, "expire-policy.json");
    let first = expire(&["--yes"]).ok().json();
    assert_eq!(s3.keys("odoo").len(), before.len() + 2, "a tombstone and its signature: {first}");
    assert_eq!((&first["done"]["uploads"], s3.open_uploads()), (&1.into(), 0), "{first}");
    s3.age("odoo/instances/prod/expiry", days(1) + Duration::from_secs(60));
    let second = expire(&["--yes"]).ok().json();
    assert!(second["done"]["snapshots"].as_u64().unwrap() >= 2, "{second}");
    assert_eq!(denied.fired(), 0, "{:?}", refused(&s3));
    let now = s3.keys("odoo");
    let gone: Vec<&String> = before.iter().filter(|key| !now.contains(key)).collect();
    for folder in ["/snapshots/", "/drills/", "/probes/", "/packs/000077"] {
        assert!(gone.iter().any(|key| key.contains(folder)), "{folder}: {gone:?}");
    }
    let may_go = |key: &&&String| ["/snapshots/", "/drills/", "/probes/"].iter().any(|of| key.contains(of));
    assert_eq!(gone.iter().filter(may_go).count(), gone.len(), "{gone:?}");
    s3.faults().clear();

    // A host that backs up believes these tombstones only if it knows the key; verify names strange ones.
    let strange = site.run(&["verify"]).run();
    assert!(strange.stdout.contains("expiry"), "{strange}");
    let known = std::fs::read_to_string(site.path("expire-key.pub")).unwrap();
    site.run(&["verify"]).env("LIFEBOAT_EXPIRE_TRUSTED_KEYS", known.trim()).run().ok();

    // What may not be deleted stays whole, and is named.
    s3.age("odoo/instances", days(30));
    site.backup(&["--tenant", "shop"]).run().ok();
    let third = expire(&["--yes", "--max-percent", "100"]).ok().json();
    assert!(!third["done"]["announced"].is_null(), "{third}");
    s3.age("odoo/instances/prod/expiry", days(1) + Duration::from_secs(60));
    let before = s3.keys("odoo");
    s3.plan(faults::on("POST", "delete").first(1).respond(403));
    let locked = expire(&["--yes"]).exits(3).json();
    assert!(locked["done"]["failed"].to_string().contains("manifest.json"), "{locked}");
    let objects =
        |keys: Vec<String>| keys.into_iter().filter(|key| !key.contains("/expiry/")).collect::<Vec<_>>();
    assert_eq!(objects(s3.keys("odoo")), objects(before));
}

fn refused(s3: &S3) -> Vec<String> {
    let log = s3.faults().log().into_iter().filter(|served| served.status == Some(403));
    log.map(|served| format!("{} {}", served.method, served.target())).collect()
}

#[test]
fn each_policy_allows_what_its_host_does_and_nothing_that_the_page_rules_out() {
    let (cluster, s3) = (Cluster::start_default(), S3::start());
    let site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 5);

    let denied = obey(&s3, "agent-policy.json");
    site.back_up(&[]);
    site.back_up(&["--kind", "base"]);
    site.run(&["list"]).run().ok();
    site.run(&["status"]).run().ok();
    site.run(&["verify"]).run().ok();
    site.run(&["verify", "--quick"]).run().ok();
    assert_eq!(denied.fired(), 0, "{:?}", refused(&s3));
    let doctor = site.run(&["doctor", "--json"]).run().json();
    let fails = doctor["checks"].as_array().unwrap().iter().filter(|check| check["status"] == "fail");
    assert_eq!(fails.count(), 0, "{doctor}");
    let probe = refused(&s3);
    assert!(
        !probe.is_empty() && probe.iter().all(|one| one.starts_with("DELETE ") || one.ends_with("?delete")),
        "{probe:?}"
    );
    let before = s3.keys("odoo");

    obey(&s3, "restore-policy.json");
    site.run(&["fleet", "look", "lifeboat.toml"]).run().ok();
    let without = refused(&s3);
    assert!(without.len() == 1 && without[0].contains("?uploads="), "{without:?}");
    let denied = obey(&s3, "restore-policy.json");
    let identity = ["--identity", "lifeboat-identity.txt"];
    site.run(&["list"]).run().ok();
    site.run(&["restore", "--yes", "--tenant", "shop", "--as", "copy"]).args(identity).run().ok();
    site.drill("shop", "").run().ok();
    assert_eq!(denied.fired(), 0, "{:?}", refused(&s3));
    let added: Vec<String> = s3.keys("odoo").into_iter().filter(|key| !before.contains(key)).collect();
    assert!(added.iter().any(|key| key.contains("/drills/")), "{added:?}");
    site.backup(&[]).run().exits(6);
    assert!(denied.fired() > 0);
    let now: Vec<String> = s3.keys("odoo").into_iter().filter(|key| !key.contains("/drills/")).collect();
    assert_eq!(now, before, "a restore host stores the reports of its drills and nothing else");
}

#[test]
fn the_policies_have_the_rights_that_locks_need_and_no_other() {
    let server = match Ministack::start() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let (cluster, s3) = (Cluster::start_default(), server.s3());
    let mut site = Site::s3(&cluster, s3, "odoo");
    site.set("LIFEBOAT_REPOSITORY_LOCK", "governance");
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), format!("{text}\n[class.all]\ntenants = ['*']\nwindow = '1h'\n")).unwrap();
    small_tenant(&cluster, &site.data_dir(), "shop", 5);

    let denied = obey(s3, "agent-policy.json");
    let dump = site.back_up(&[])["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned();
    site.run(&["hold", "add", "case", "--snapshot", &dump, "--reason", "audit", "--by", "anna"]).run().ok();
    assert_eq!(denied.fired(), 0, "{:?}", refused(s3));
    let doctor = site.run(&["doctor", "--json"]).run().ok().json();
    let status = |name: &str| {
        let checks = doctor["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["status"].clone()
    };
    assert_eq!((status("lock shortened"), status("versions")), ("ok".into(), "ok".into()), "{doctor}");
    assert_eq!(status("lock deleted"), "not-checked", "it may not delete: {doctor}");

    let denied = obey(s3, "expire-policy.json");
    // `lifeboat.json` was stored before the lock was set.
    let done = site.run(&["expire", "--yes", "--json"]).run().exits(3).json();
    assert_eq!((&done["locks"]["too_short"], &done["locks"]["failed"]), (&1.into(), &0.into()), "{done}");
    assert!(done["locks"]["legal_holds"]["set"].as_u64().unwrap() > 0, "{done}");
    site.run(&["expire", "--yes"]).run().ok();
    assert_eq!(denied.fired(), 0, "{:?}", refused(s3));

    // Production must not lift what a hold keeps.
    let denied = obey(s3, "agent-policy.json");
    let named = site.run(&["expire", "--yes", "--json"]).run().exits(3).json();
    assert!(named["locks"]["failed"].as_u64().unwrap() > 0 && denied.fired() > 0, "{named}");
    assert!(
        named["locks"]["failures"].to_string().contains("s3:PutObjectLegalHold may be missing"),
        "{named}"
    );
}

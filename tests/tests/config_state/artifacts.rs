//! What is attached comes back byte for byte; stock tools open it; damage is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_tests::{S3, compare, damage, skip};

use crate::{World, id};

/// Bytes that do not compress, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn artifacts(world: &World) -> PathBuf {
    let dir = world.site.path("build");
    fs::create_dir_all(dir.join("modules/sale")).unwrap();
    fs::write(dir.join("image.tar"), noise(70 << 20)).unwrap();
    fs::write(dir.join("modules/sale/__init__.py"), "password = 'kept as it is'\n").unwrap();
    fs::write(dir.join("modules/empty"), "").unwrap();
    fs::write(dir.join("sbom.json"), "{}\n").unwrap();
    dir
}

#[test]
fn artifacts_come_back_byte_for_byte_and_their_digests_are_signed() {
    let world = World::start();
    let build = artifacts(&world);
    let path = |name: &str| build.join(name).display().to_string();
    let (image, modules, sbom) = (path("image.tar"), path("modules"), path("sbom.json"));
    let attach = ["--attach", &image, "--attach", &modules, "--attach", &sbom];
    let manifest = world.capture(&[&["--release", "17.1"][..], &attach].concat());
    let told = manifest["config"]["artifacts"].as_array().unwrap();
    let names: Vec<&str> = told.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["image.tar", "modules/empty", "modules/sale/__init__.py", "sbom.json"]);
    for one in told {
        let file = build.join(one["name"].as_str().unwrap());
        assert_eq!(one["sha256"], compare::sha256(&file));
        assert_eq!(one["bytes"].as_u64(), Some(file.metadata().unwrap().len()));
    }
    let plain = world.capture(&["--release", "17.2"]);
    assert_eq!(manifest["config"]["sha256"], plain["config"]["sha256"], "artifacts are not configuration");
    let told = world.config(&["diff", "17.1", "17.2", "--json"]).ok().json();
    assert_eq!(told["differences"]["artifacts_removed"].as_array().unwrap().len(), 4);

    let (target, identity) = (world.site.path("restored"), world.identity());
    let dir = target.display().to_string();
    world.config(&["restore", "--release", "17.1", &dir, "--identity", &identity]).ok();
    compare::walk(&build, &mut |file| {
        let back = target.join("artifacts").join(file.strip_prefix(&build).unwrap());
        assert_eq!(compare::sha256(file), compare::sha256(&back), "{}", file.display());
    });
    world.site.run(&["verify", "--deep", "--identity", &identity]).run().ok();
    // Two of one name.
    let twice = ["--attach", &sbom, "--attach", &sbom];
    world.site.backup(&["--kind", "config"]).args(twice).run().exits(2).says("cannot be attached");
}

#[test]
fn attachments_alone_need_no_configuration() {
    let world = World::start();
    let file = world.etc.join("modules.txt").display().to_string();
    let told = world
        .site
        .backup(&["--kind", "config", "--json", "--attach", &file])
        .env("LIFEBOAT_CONFIGURATION_FILES", "")
        .run()
        .ok()
        .json();
    assert_eq!(told["manifest"]["config"]["files"], 0);
    assert_eq!(told["manifest"]["config"]["artifacts"][0]["name"], "modules.txt");
}

#[test]
fn the_same_in_a_bucket() {
    let s3 = S3::start();
    let world = World::on_s3(&s3);
    let image = world.site.path("image.tar");
    fs::write(&image, noise(6 << 20)).unwrap();
    world.capture(&["--release", "17.1", "--attach", &image.display().to_string()]);
    world.config(&["diff", "17.1", "now"]).ok();
    let (target, identity) = (world.site.path("restored"), world.identity());
    let dir = target.display().to_string();
    world.config(&["restore", "--release", "17.1", &dir, "--identity", &identity]).ok();
    assert_eq!(compare::sha256(&image), compare::sha256(&target.join("artifacts/image.tar")));
    world.site.run(&["verify", "--deep", "--identity", &identity]).run().ok();
    world.nothing_leaked();
}

#[test]
fn stock_tools_open_it_and_find_no_secret() {
    for tool in ["age", "zstd", "tar", "ssh-keygen"] {
        if !Path::new("/usr/bin").join(tool).exists() {
            skip!("{tool} is not in /usr/bin");
        }
    }
    let world = World::start();
    let (sbom, large) = (world.site.path("sbom.json"), world.site.path("large"));
    fs::write(&sbom, "{}\n").unwrap();
    fs::write(&large, noise(9 << 20)).unwrap();
    let [sbom, large] = [sbom, large].map(|path| path.display().to_string());
    let manifest = world.capture(&["--attach", &sbom, "--attach", &large]);
    let folder = world.site.stored.join("instances/prod/snapshots").join(id(&manifest));
    let out = world.site.path("out");
    fs::create_dir(&out).unwrap();
    let script = r#"set -eu; for pack in "$1"/packs/*.age; do age -d -i "$2" "$pack" | zstd -d | tar -x -C "$3"; done
        age -d -i "$2" "$1/index.zst.age" | zstd -d > "$3/index""#;
    let done = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([&folder, &world.site.path("lifeboat-identity.txt"), &out])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let conf = fs::read_to_string(out.join("files").join(world.path("odoo.conf"))).unwrap();
    assert!(conf.contains("db_host = db\ndb_password = lifeboat-hmac-sha256:"), "{conf}");
    assert_eq!(fs::read_to_string(out.join("files/artifacts/sbom.json")).unwrap(), "{}\n");
    let script = "cat \"$1\"/extents/artifacts/large/* | cmp - \"$2\"";
    let same = Command::new("sh").args(["-c", script, "sh"]).arg(&out).arg(&large).status().unwrap();
    assert!(same.success());
    world.nothing_leaked(); // the unpacked files lie in the site, too

    // The digest of everything, as docs/configuration-state.md tells it.
    let script = r#"jq -r '.config.entries[] | "\(.digest)  \(.path)"' "$1" | sha256sum | cut -c 1-64"#;
    match Path::new("/usr/bin/jq").exists() {
        false => skip::announce(module_path!(), "the digest by hand: jq is not in /usr/bin"),
        true => {
            let done = Command::new("sh")
                .args(["-c", script, "sh"])
                .arg(folder.join("manifest.json"))
                .output()
                .unwrap();
            let digest = String::from_utf8(done.stdout).unwrap();
            assert_eq!(digest.trim(), manifest["config"]["sha256"].as_str().unwrap());
        }
    }
}

#[test]
fn one_flipped_bit_of_any_object_is_found() {
    let world = World::start();
    let sbom = world.site.path("sbom.json");
    fs::write(&sbom, "{}\n").unwrap();
    let manifest = world.capture(&["--release", "17.1", "--attach", &sbom.display().to_string()]);
    let folder = world.site.stored.join("instances/prod/snapshots").join(id(&manifest));
    let mut objects = Vec::new();
    compare::walk(&folder, &mut |path| objects.push(path.to_owned()));
    assert!(objects.len() >= 5, "two packs, index, manifest, signature: {objects:?}");
    for object in objects {
        let bits = object.metadata().unwrap().len() * 8;
        for bit in [0, bits / 2, bits - 1] {
            // The last bit of an armored signature is its line end.
            if object.ends_with("manifest.json.sig") && bit == bits - 1 {
                continue;
            }
            damage::flip_bit(&object, bit);
            let told = world.site.run(&["verify", "--no-progress"]).run();
            assert!(
                [Some(10), Some(3), Some(11)].contains(&told.code),
                "{} bit {bit}: {told}",
                object.display()
            );
            assert!(told.stdout.contains(&id(&manifest)), "{} bit {bit}: {told}", object.display());
            let identity = world.identity();
            let dir = world.site.path("never").display().to_string();
            let name = object.file_name().unwrap().to_string_lossy().into_owned();
            let restored = world.config(&["restore", "--release", "17.1", &dir, "--identity", &identity]);
            assert_ne!(restored.code, Some(0), "{name} bit {bit}: {restored}");
            assert!(!world.site.path("never").exists(), "{name} bit {bit} left something");
            damage::flip_bit(&object, bit);
        }
    }
    world.site.run(&["verify"]).run().ok();
}

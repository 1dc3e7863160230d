//! WAL objects as older versions of the program made them: signed, and called like more than they hold.

use std::fs;
use std::path::PathBuf;

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::manifest::Origin;
use lifeboat::archive::seal::Recipients;
use lifeboat::archive::signature::SigningKey;
use lifeboat::archive::wal::WalSealer;

use crate::site::Site;

/// Stores `content` as the bytes of a segment from `begin` on, signed and sealed with the keys of the site;
/// where.
pub fn store(site: &Site, segment: &str, begin: u32, content: &[u8]) -> PathBuf {
    let read = |name: &str| fs::read(site.stored.join(name)).unwrap();
    let repository = read("lifeboat.json");
    let meta: serde_json::Value = serde_json::from_slice(&repository).unwrap();
    let origin = Origin {
        repository: meta["id"].as_str().unwrap().to_owned(),
        repository_sha256: Sha256::of(&repository),
        instance: "prod".parse().unwrap(),
        instance_sha256: Sha256::of(&read("instances/prod/instance.json")),
    };
    let config = fs::read_to_string(site.config()).unwrap();
    let public = config.split('"').find(|text| text.starts_with("age1")).unwrap();
    let sealer = WalSealer {
        origin,
        recipients: Recipients::parse([public]).unwrap(),
        signing: SigningKey::load(&site.path("lifeboat-signing-key")).unwrap(),
        zstd_level: 3,
    };
    let (name, stored) = sealer.seal(segment.parse().unwrap(), begin, content).unwrap();
    let path = site.stored.join("instances/prod/wal").join(&segment[..8]).join(name.to_string());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, stored).unwrap();
    path
}

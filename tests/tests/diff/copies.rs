//! A copy differs in nothing, on the same major version and on newer ones.

use lifeboat::odoo::changes::{Weight, changes};
use lifeboat::odoo::compare;
use lifeboat_tests::{Cluster, installed, skip};

use crate::world::{baseline, tenants};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_differs_in_nothing_on_any_major() {
    let (cluster, dir, names) = tenants();
    let mut majors = installed::available_majors();
    majors.retain(|major| *major >= cluster.major());
    for major in majors {
        let other = Cluster::start(major);
        for name in &names {
            let file = dir.path().join(format!("{name}.dump"));
            cluster.run("pg_dump", &["-Fc", "-Z1", "-f", file.to_str().unwrap(), name]);
            other.create_db(name);
            other.run("pg_restore", &["--no-owner", "--exit-on-error", "-d", name, file.to_str().unwrap()]);
            let (was, is) = (baseline(&cluster, name).await, baseline(&other, name).await);
            let said: Vec<String> = compare(&was, &is).iter().map(ToString::to_string).collect();
            assert_eq!(said, [""; 0], "{name} on {major}");
            let moved = changes(&was, &is);
            assert!(moved.iter().all(|one| one.weight != Weight::Lost), "{name} on {major}: {moved:#?}");
            if major == cluster.major() {
                assert_eq!(moved, [], "{name} on {major}");
            }
        }
    }
    if installed::available_majors().len() == 1 {
        skip::announce("newer majors", "one version of PostgreSQL is installed");
    }
}

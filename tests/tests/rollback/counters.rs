//! The counters of a tenant, on every major version.

use lifeboat::odoo::counters::Last;
use lifeboat::postgres::Session;
use lifeboat_tests::checkpointed::{counters, options, wait};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, available_majors, small_tenant};

#[test]
fn counters_are_those_of_the_catalogs_on_every_major() {
    for major in available_majors() {
        assert_counters(&Cluster::start(major));
    }
}

fn assert_counters(cluster: &Cluster) {
    let site = Site::local(cluster);
    small_tenant(cluster, &site.data_dir(), "shop", 9);
    let before = counters(cluster, "shop");
    let last: i64 = cluster.psql("shop", "select last_value from sale_order_id_seq").parse().unwrap();
    assert_eq!(before.ids_of("sale_order").unwrap().last, Last::At(last));
    assert!(before.table("sale_order").unwrap().columns["name"].starts_with("character varying"));
    assert!(before.tables.is_sorted_by(|a, b| (&a.schema, &a.name) <= (&b.schema, &b.name)));
    assert_eq!(before.digest().unwrap(), before.clone().digest().unwrap());
    cluster.psql("shop", "create role reader login; create temporary table t (id serial)");
    wait(async {
        let options = lifeboat::postgres::PostgresOptions { user: "reader".into(), ..options(cluster) };
        let mut session = Session::connect(&options, "shop").await.unwrap();
        let seen = lifeboat::odoo::counters::Counters::take(&mut session).await.unwrap();
        assert_eq!(seen.ids_of("sale_order").unwrap().last, Last::NotReadable);
    });
}

//! A copy that could still act outside fails the drill, whatever the restore says.

use std::os::unix::fs::PermissionsExt;

use crate::shop::{Shop, state};

/// `lifeboat` that switches one mail server on again after it restored.
const CARELESS: &str = r#"#!/bin/sh
"LIFEBOAT" "$@" || exit
"$LIFEBOAT_POSTGRES_BIN_DIR/psql" -qX -h "$LIFEBOAT_POSTGRES_HOST" -U postgres -d drill -c "
  UPDATE ir_mail_server SET active = true, smtp_host = 'smtp.example.com'" >&2
"#;

#[test]
fn one_mail_server_that_is_left_live_fails_the_drill_by_name() {
    let shop = Shop::made_up(&["t1"]);
    let columns = shop.cluster.psql(
        "t1",
        "SELECT count(*) FROM pg_attribute WHERE attrelid = \
         to_regclass('ir_mail_server') AND attname IN ('id', 'name', 'smtp_host', 'active')",
    );
    assert_eq!(columns, "4", "the made-up tenant has mail servers");
    shop.back_up(&[]);
    let lifeboat = lifeboat_tests::program::bin_dir().join("lifeboat");
    let careless = shop.site.path("careless");
    std::fs::write(&careless, CARELESS.replace("LIFEBOAT\"", &format!("{}\"", lifeboat.display()))).unwrap();
    std::fs::set_permissions(&careless, PermissionsExt::from_mode(0o755)).unwrap();
    let plan = format!("[lifeboat]\nprogram = {:?}", careless.display().to_string());
    let report = shop.drill("t1", &plan).run().exits(1).json();
    assert_eq!(state(&report, "neutralized"), "failed");
    assert!(report["reasons"].to_string().contains("mail server"), "{:#}", report["reasons"]);
    let good = shop.drill("t1", "").run().ok().json();
    assert_ne!(state(&good, "neutralized"), "failed");
}

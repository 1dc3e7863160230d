//! A drill of real tenants, with both programs and a real Odoo of their release: it passes whole.

use lifeboat_tests::odoo::{odoo_bin, odoo_major};
use lifeboat_tests::{real_tenants, skip};

use crate::shop::{Shop, state};

#[test]
fn real_tenants_trade_on_a_real_odoo_at_a_random_second_too() {
    let Some((bin, python)) = odoo_bin() else { skip!("no Odoo: TEST_ODOO_BIN names its odoo-bin") };
    if odoo_major() != Some(17) || !real_tenants().iter().any(|name| name == "retail_north") {
        skip!("no real tenants of this Odoo's release");
    }
    let shop = Shop::open();
    shop.back_up(&[]);
    shop.back_up(&["--kind", "base"]);
    std::thread::sleep(std::time::Duration::from_millis(2500)); // a window of seconds
    for tenant in &shop.tenants {
        shop.cluster.psql(tenant, "UPDATE res_partner SET write_date = now() WHERE id = 1");
    }
    shop.archive();
    let command: Vec<String> =
        python.into_iter().chain([bin]).map(|path| format!("{:?}", path.display().to_string())).collect();
    let odoo = format!("[odoo]\ncommand = [{}]", command.join(", "));
    for tenant in &shop.tenants {
        for target in ["", "target = \"random\"\n"] {
            let report = shop.drill(tenant, &format!("{target}{odoo}")).run().ok().json();
            for part in ["odoo", "transactions", "silence", "neutralized", "hard checks", "files"] {
                assert_eq!(state(&report, part), "done", "{tenant} {target}{part}: {:#}", report["findings"]);
            }
            assert_eq!(report["traffic"]["packets_out"], 0, "{tenant}");
        }
    }
}

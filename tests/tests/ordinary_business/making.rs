//! Products that are made of others.

use serde_json::json;

use super::Operation;
use super::delivering::deliver;
use super::opening::goods;
use super::selling::{delivered, invoiced, line, order};
use super::shop::{Shop, rows};
use super::warehouse::{send_back, tracked};

pub const ALL: &[Operation] = &[("a kit sold and returned", kit), ("a product made of parts", made)];

fn kit(shop: &Shop<'_>) {
    let kit = tracked(shop, "none");
    bill_of_materials(shop, kit, "phantom");
    let order = order(shop, &[line(kit, 3.0, 30.0), line(shop.goods, 1.0, 9.99)], json!({}));
    deliver(shop, order, 1.0, true);
    invoiced(shop, &[order], delivered());
    let picking = shop.links("sale.order", order, "picking_ids")[0];
    send_back(shop, picking, 1.0, true);
}

fn bill_of_materials(shop: &Shop<'_>, product: i64, kind: &str) {
    let part = goods(shop, "Ordinary part", 1.5);
    let lines = [
        json!({ "product_id": part, "product_qty": 2 }),
        json!({ "product_id": shop.goods, "product_qty": 1 }),
    ];
    shop.create(
        "mrp.bom",
        json!({ "product_tmpl_id": shop.link("product.product", product, "product_tmpl_id"),
        "product_qty": 1, "type": kind, "bom_line_ids": rows(&lines), "company_id": shop.company }),
    );
}

fn made(shop: &Shop<'_>) {
    let product = tracked(shop, "none");
    bill_of_materials(shop, product, "normal");
    let production = shop.create(
        "mrp.production",
        json!({ "product_id": product, "product_qty": 4,
        "product_uom_id": shop.link("product.product", product, "uom_id") }),
    );
    shop.press("mrp.production", "action_confirm", production);
    shop.press("mrp.production", "action_assign", production);
    shop.write("mrp.production", production, json!({ "qty_producing": 3 }));
    shop.press("mrp.production", "set_qty_producing", production);
    shop.call_with(
        "mrp.production",
        "button_mark_done",
        json!([[production]]),
        json!({ "skip_backorder": true, "skip_consumption": true }),
    );
    shop.expect("mrp.production", production, "state", &["done"]);
    let opened = shop.create(
        "mrp.production",
        json!({ "product_id": product, "product_qty": 2,
        "product_uom_id": shop.link("product.product", product, "uom_id") }),
    );
    shop.press("mrp.production", "action_confirm", opened);
}

//! The marks by which a document is recognized that was entered before.

use sha2::{Digest, Sha256};

use crate::release::salvage::summary::Head;

/// The module of the external IDs. No module has this name, so no update of Odoo removes them.
pub const MODULE: &str = "lifeboat_salvage";

/// The marks of one export: those of a later release are others, because Odoo gives the same ids again.
#[derive(Clone, Debug)]
pub struct Marks([u8; 8]);

impl Marks {
    /// Those of this export; the same for each export of the same release, tenant and point.
    pub fn of(head: &Head) -> Marks {
        let whole = format!("{}\0{}\0{}", head.release, head.tenant, head.point);
        let digest: [u8; 32] = Sha256::digest(whole.as_bytes()).into();
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        Marks(short)
    }

    /// The external ID of a row, without its module.
    pub fn name(&self, table: &str, id: i64) -> String {
        let hex: String = self.0[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("s{hex}_{table}_{id}")
    }

    /// The same with its module.
    pub fn external_id(&self, table: &str, id: i64) -> String {
        format!("{MODULE}.{}", self.name(table, id))
    }

    /// The receipt number of a POS order. Odoo looks for 14 digits and hyphens in it.
    pub fn receipt(&self, id: i64) -> String {
        let number = u64::from_be_bytes(self.0) % 100_000_000;
        format!("Order {number:08}-{id:010}")
    }

    /// The UUID of a row that had none.
    pub fn uuid(&self, table: &str, id: i64) -> String {
        let digest: [u8; 32] = Sha256::digest(self.external_id(table, id).as_bytes()).into();
        let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        // version 8: of our own making
        format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(release: &str, point: &str) -> Head {
        let text = format!(
            r#"{{"format": 1, "release": "{release}", "tenant": "shop", "from": "shop", "against": "old", "point": "{point}"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn marks_are_the_same_for_each_export_and_others_for_another_point() {
        let one = Marks::of(&head("7", "2026-11-28T02:15:00Z"));
        assert_eq!(
            one.name("sale_order", 5),
            Marks::of(&head("7", "2026-11-28T02:15:00Z")).name("sale_order", 5)
        );
        for other in [head("8", "2026-11-28T02:15:00Z"), head("7", "2026-11-28T02:15:01Z")] {
            assert_ne!(one.name("sale_order", 5), Marks::of(&other).name("sale_order", 5));
            assert_ne!(one.receipt(5), Marks::of(&other).receipt(5));
        }
    }

    #[test]
    fn odoo_finds_its_number_in_a_receipt() {
        let receipt = Marks::of(&head("7", "2026-11-28T02:15:00Z")).receipt(5);
        let number = receipt.strip_prefix("Order ").unwrap();
        assert!(number.len() >= 14 && number.chars().all(|c| c.is_ascii_digit() || c == '-'), "{receipt}");
        let uuid = Marks::of(&head("7", "2026-11-28T02:15:00Z")).uuid("pos_order", 5);
        assert_eq!((uuid.len(), uuid.matches('-').count()), (36, 4));
    }
}

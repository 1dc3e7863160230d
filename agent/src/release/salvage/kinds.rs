//! The kinds of business documents that are exported, and the tables that each of them is in.

/// A table of a kind.
#[derive(Debug)]
pub struct Part {
    /// Its name in schema `public`.
    pub table: &'static str,
    /// The columns that may name the document a row belongs to; the first that exists counts. None for the
    /// documents themselves.
    pub parent: &'static [&'static str],
    /// What rows are called that belong to no document.
    pub others: Option<&'static str>,
}

/// The relation of lines to their taxes.
#[derive(Debug)]
pub struct Taxes {
    /// The table of the lines.
    pub lines: &'static str,
    /// The table of the relation.
    pub relation: &'static str,
    /// Its column for the line.
    pub line: &'static str,
    /// Its column for the tax.
    pub tax: &'static str,
}

/// A kind of documents.
#[derive(Debug)]
pub struct Kind {
    /// Its name, also that of its files.
    pub name: &'static str,
    /// The documents.
    pub head: Part,
    /// What belongs to each of them.
    pub lines: &'static [Part],
    /// The taxes of its lines.
    pub taxes: Option<Taxes>,
}

/// Columns that are neither compared nor exported: secrets, and content of files.
pub const LEFT_OUT: [&str; 5] = ["access_token", "db_datas", "index_content", "signup_token", "value_binary"];
/// The models whose attachments are exported.
pub const ATTACHED_TO: [&str; 5] =
    ["sale.order", "pos.order", "account.payment", "stock.picking", "account.move"];
/// The table of attachments.
pub const ATTACHMENTS: &str = "ir_attachment";
/// The kind of payments.
pub const PAYMENTS: &str = "payments";
/// The kind of partners, who are exported if a new document needs them.
pub const PARTNERS: &str = "partners";

const fn head(table: &'static str) -> Part {
    Part { table, parent: &[], others: None }
}

const fn lines(table: &'static str, parent: &'static [&'static str]) -> Part {
    Part { table, parent, others: None }
}

const fn taxes(lines: &'static str, relation: &'static str, line: &'static str) -> Option<Taxes> {
    Some(Taxes { lines, relation, line, tax: "account_tax_id" })
}

/// All of them but the partners, in the order in which they are exported.
pub static KINDS: [Kind; 6] = [
    Kind {
        name: "sale-orders",
        head: head("sale_order"),
        lines: &[lines("sale_order_line", &["order_id"])],
        taxes: taxes("sale_order_line", "account_tax_sale_order_line_rel", "sale_order_line_id"),
    },
    Kind {
        name: "pos-orders",
        head: head("pos_order"),
        lines: &[lines("pos_order_line", &["order_id"]), lines("pos_payment", &["pos_order_id"])],
        taxes: taxes("pos_order_line", "account_tax_pos_order_line_rel", "pos_order_line_id"),
    },
    Kind {
        name: PAYMENTS,
        head: head("account_payment"),
        // its journal entry: payment_id until Odoo 17
        lines: &[lines("account_move", &["payment_id", "origin_payment_id"])],
        taxes: None,
    },
    Kind {
        name: "pickings",
        head: head("stock_picking"),
        lines: &[
            Part { others: Some("stock moves without a transfer"), ..lines("stock_move", &["picking_id"]) },
            lines("stock_move_line", &["picking_id"]),
        ],
        taxes: None,
    },
    Kind {
        name: "invoices",
        head: Part {
            others: Some("journal entries that are no invoices (those of payments are exported with them)"),
            ..head("account_move")
        },
        lines: &[lines("account_move_line", &["move_id"])],
        taxes: taxes("account_move_line", "account_move_line_account_tax_rel", "account_move_line_id"),
    },
    Kind { name: "attachments", head: head(ATTACHMENTS), lines: &[], taxes: None },
];

/// Which table a column names a row of.
pub static LINKS: [(&str, &str); 40] = [
    ("partner_id", "res_partner"),
    ("partner_invoice_id", "res_partner"),
    ("partner_shipping_id", "res_partner"),
    ("commercial_partner_id", "res_partner"),
    ("order_partner_id", "res_partner"),
    ("owner_id", "res_partner"),
    ("parent_id", "res_partner"),
    ("country_id", "res_country"),
    ("state_id", "res_country_state"),
    ("product_id", "product_product"),
    ("currency_id", "res_currency"),
    ("company_currency_id", "res_currency"),
    ("company_id", "res_company"),
    ("user_id", "res_users"),
    ("invoice_user_id", "res_users"),
    ("salesman_id", "res_users"),
    ("create_uid", "res_users"),
    ("write_uid", "res_users"),
    ("warehouse_id", "stock_warehouse"),
    ("location_id", "stock_location"),
    ("location_dest_id", "stock_location"),
    ("picking_type_id", "stock_picking_type"),
    ("backorder_id", "stock_picking"),
    ("picking_id", "stock_picking"),
    ("sale_id", "sale_order"),
    ("journal_id", "account_journal"),
    ("account_id", "account_account"),
    ("outstanding_account_id", "account_account"),
    ("destination_account_id", "account_account"),
    ("tax_line_id", "account_tax"),
    ("product_uom", "uom_uom"),
    ("product_uom_id", "uom_uom"),
    ("pricelist_id", "product_pricelist"),
    ("payment_term_id", "account_payment_term"),
    ("invoice_payment_term_id", "account_payment_term"),
    ("fiscal_position_id", "account_fiscal_position"),
    ("session_id", "pos_session"),
    ("config_id", "pos_config"),
    ("payment_method_id", "pos_payment_method"),
    ("payment_method_line_id", "account_payment_method_line"),
];

/// The columns by which a person or a program finds a row again, as far as a version of Odoo has them.
/// A product has its name in its template, which therefore comes after it.
pub static KEYS: [(&str, &[&str]); 24] = [
    ("res_partner", &["ref", "vat", "email", "name"]),
    ("res_country", &["code"]),
    ("res_country_state", &["code", "name"]),
    ("product_product", &["default_code", "barcode"]),
    ("product_template", &["default_code", "name"]),
    ("res_currency", &["name"]),
    ("res_company", &["name"]),
    ("res_users", &["login"]),
    ("stock_warehouse", &["code", "name"]),
    ("stock_location", &["complete_name", "barcode"]),
    ("stock_picking_type", &["sequence_code", "name"]),
    ("stock_picking", &["name"]),
    ("sale_order", &["name"]),
    ("account_journal", &["code", "name"]),
    ("account_account", &["code", "code_store", "name"]),
    ("account_tax", &["name", "type_tax_use"]),
    ("uom_uom", &["name"]),
    ("product_pricelist", &["name"]),
    ("account_payment_term", &["name"]),
    ("account_fiscal_position", &["name"]),
    ("pos_session", &["name"]),
    ("pos_config", &["name"]),
    ("pos_payment_method", &["name"]),
    ("account_payment_method_line", &["name"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odoo::business::Source;

    #[test]
    fn every_kind_has_documents_that_the_plan_counts() {
        for kind in &KINDS {
            assert!(Source::of(kind.head.table).is_some(), "{}", kind.name);
            assert!(kind.head.parent.is_empty() && kind.lines.iter().all(|part| !part.parent.is_empty()));
        }
    }

    #[test]
    fn every_link_leads_to_a_table_with_a_key_and_names_its_column_once() {
        for (at, (column, table)) in LINKS.iter().enumerate() {
            let known = KEYS.iter().any(|(of, _)| of == table);
            assert!(known, "{column}");
            assert!(LINKS[at + 1..].iter().all(|(other, _)| other != column), "{column}");
        }
    }
}

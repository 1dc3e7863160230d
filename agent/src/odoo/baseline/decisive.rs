//! The tables whose values only the state before can judge: a price of 0 is as valid as one of 10, and a
//! user without groups breaks no rule.

/// A table with such values, in schema `public`.
#[derive(Debug)]
pub struct Decisive {
    /// Its name.
    pub table: &'static str,
    /// The columns that say which row it is: `id`, or both of a relation.
    pub key: &'static [&'static str],
    /// What a person knows a row by.
    pub label: &'static [Part],
    /// Whether a row is another one's successor if both have the same label: it was deleted and made again.
    pub is_known_by_label: bool,
    /// The columns that are recorded, where they exist: versions of Odoo differ.
    pub columns: &'static [(&'static str, Rule)],
    /// What it means if a row is gone.
    pub gone: Gone,
    /// Whether somebody should confirm a new row.
    pub confirm_new: bool,
    /// A column that says what the others are for: if it is another one, these may be empty.
    pub purpose: Option<&'static str>,
}

/// A part of a label.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// The value of this column.
    Value(&'static str),
    /// The label of the row of another table that this column names. That table is read before.
    Of(&'static str, &'static str),
}

/// What it means if a value of a column is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Somebody should confirm it; if many are zero or empty now, they are lost.
    Kept,
    /// Normal work changes it; if many are zero or empty now, they are lost.
    Moving,
    /// Somebody should confirm it; it is lost if it is empty or zero now.
    Vital,
    /// Somebody should confirm it.
    Setting,
    /// Normal work changes it. It is recorded as a digest; if many are empty now, they are lost.
    Secret,
    /// As `Setting`, recorded as a digest.
    SecretSetting,
    /// The code of a view: lost if it is empty now; normal work changes those that no module made.
    Code,
}

/// What it means if a row is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It is lost.
    Lost,
    /// It is lost if a module made it, and no module was updated; else somebody should confirm it.
    OfModule,
    /// Somebody should confirm it; if most are gone, they are lost.
    Confirm,
}

use Gone::{Confirm, Lost, OfModule};
use Part::{Of, Value};
use Rule::{Code, Kept, Moving, Secret, SecretSetting, Setting, Vital};

const ID: &[&str] = &["id"];
const NAME: &[Part] = &[Value("name")];

const fn table(
    table: &'static str,
    label: &'static [Part],
    columns: &'static [(&'static str, Rule)],
    gone: Gone,
) -> Decisive {
    Decisive {
        table,
        key: ID,
        label,
        is_known_by_label: false,
        columns,
        gone,
        confirm_new: true,
        purpose: None,
    }
}

/// A table to which normal work adds rows.
const fn grows(one: Decisive) -> Decisive {
    Decisive { confirm_new: false, ..one }
}

/// A table of which this column says what the others are for.
const fn for_purpose(purpose: &'static str, one: Decisive) -> Decisive {
    Decisive { purpose: Some(purpose), ..one }
}

const fn by_label(one: Decisive) -> Decisive {
    Decisive { is_known_by_label: true, ..one }
}

/// A relation of two tables.
const fn pairs(table: &'static str, key: &'static [&'static str], label: &'static [Part]) -> Decisive {
    Decisive { key, ..self::table(table, label, &[], Confirm) }
}

/// All of them, in Odoo 15 to 19. A table stands below those that its labels name.
pub static DECISIVE: [Decisive; 34] = [
    by_label(table("ir_config_parameter", &[Value("key")], &[("value", SecretSetting)], Confirm)),
    table(
        "res_currency",
        NAME,
        &[("name", Vital), ("rounding", Vital), ("decimal_places", Setting), ("active", Setting)],
        Lost,
    ),
    table(
        "res_company",
        NAME,
        &[
            ("name", Vital),
            ("currency_id", Vital),
            ("partner_id", Vital),
            ("parent_id", Setting),
            ("chart_template", Setting),
            ("account_sale_tax_id", Setting),
            ("account_purchase_tax_id", Setting),
            ("tax_calculation_rounding_method", Setting),
            ("anglo_saxon_accounting", Setting),
            ("account_fiscal_country_id", Setting),
            ("fiscalyear_lock_date", Setting),
            ("hard_lock_date", Setting),
        ],
        Lost,
    ),
    by_label(grows(table(
        "res_currency_rate",
        &[Of("currency_id", "res_currency"), Value("name"), Of("company_id", "res_company")],
        &[("rate", Vital)],
        Lost,
    ))),
    table("res_groups", NAME, &[("name", Vital)], OfModule),
    table(
        "res_users",
        &[Value("login")],
        &[
            ("login", Vital),
            ("active", Setting),
            ("share", Setting),
            ("company_id", Vital),
            ("password", Secret),
            ("totp_secret", Secret),
        ],
        Confirm,
    ),
    pairs("res_groups_users_rel", &["uid", "gid"], &[Of("uid", "res_users"), Of("gid", "res_groups")]),
    pairs("res_groups_implied_rel", &["gid", "hid"], &[Of("gid", "res_groups"), Of("hid", "res_groups")]),
    pairs(
        "res_company_users_rel",
        &["user_id", "cid"],
        &[Of("user_id", "res_users"), Of("cid", "res_company")],
    ),
    table(
        "ir_rule",
        NAME,
        &[
            ("domain_force", Setting),
            ("active", Setting),
            ("global", Setting),
            ("model_id", Vital),
            ("perm_read", Setting),
            ("perm_write", Setting),
            ("perm_create", Setting),
            ("perm_unlink", Setting),
        ],
        OfModule,
    ),
    pairs(
        "rule_group_rel",
        &["rule_group_id", "group_id"],
        &[Of("rule_group_id", "ir_rule"), Of("group_id", "res_groups")],
    ),
    table(
        "ir_model_access",
        NAME,
        &[
            ("model_id", Vital),
            ("group_id", Setting),
            ("active", Setting),
            ("perm_read", Setting),
            ("perm_write", Setting),
            ("perm_create", Setting),
            ("perm_unlink", Setting),
        ],
        OfModule,
    ),
    grows(table(
        "ir_ui_view",
        NAME,
        &[("arch_db", Code), ("active", Setting), ("inherit_id", Setting), ("mode", Setting)],
        OfModule,
    )),
    table("ir_cron", &[Value("cron_name")], &[("active", Setting), ("interval_number", Setting)], OfModule),
    table(
        "ir_sequence",
        NAME,
        &[
            ("prefix", Setting),
            ("suffix", Setting),
            ("padding", Setting),
            ("implementation", Setting),
            ("active", Setting),
            ("company_id", Setting),
        ],
        Confirm,
    ),
    table("decimal_precision", NAME, &[("digits", Setting)], Lost),
    table("uom_uom", NAME, &[("factor", Vital), ("rounding", Setting), ("active", Setting)], Lost),
    grows(table(
        "product_template",
        NAME,
        &[("list_price", Kept), ("active", Setting), ("uom_id", Vital), ("categ_id", Setting)],
        Confirm,
    )),
    grows(table(
        "product_product",
        &[Of("product_tmpl_id", "product_template"), Value("default_code")],
        &[("standard_price", Moving), ("barcode", Kept), ("active", Setting), ("product_tmpl_id", Vital)],
        Confirm,
    )),
    by_label(grows(table(
        "ir_property",
        &[Value("name"), Value("res_id"), Of("company_id", "res_company")],
        &[("value_float", Moving), ("value_reference", Kept), ("value_integer", Setting)],
        Confirm,
    ))),
    table(
        "product_pricelist",
        NAME,
        &[("name", Vital), ("active", Setting), ("currency_id", Vital), ("discount_policy", Setting)],
        Confirm,
    ),
    for_purpose(
        "compute_price",
        grows(table(
            "product_pricelist_item",
            &[Of("pricelist_id", "product_pricelist"), Of("product_tmpl_id", "product_template")],
            &[
                ("compute_price", Setting),
                ("fixed_price", Kept),
                ("percent_price", Kept),
                ("price_discount", Kept),
                ("price_surcharge", Kept),
                ("min_quantity", Setting),
                ("applied_on", Setting),
                ("date_start", Setting),
                ("date_end", Setting),
            ],
            Confirm,
        )),
    ),
    grows(table(
        "product_supplierinfo",
        &[Of("product_tmpl_id", "product_template"), Value("product_code")],
        &[("price", Kept), ("currency_id", Vital), ("min_qty", Setting), ("partner_id", Vital)],
        Confirm,
    )),
    table(
        "account_account",
        &[Value("code"), Value("name")],
        &[
            ("code", Vital),
            ("code_store", Vital),
            ("account_type", Vital),
            ("user_type_id", Vital),
            ("deprecated", Setting),
            ("reconcile", Setting),
            ("currency_id", Setting),
        ],
        Confirm,
    ),
    table(
        "account_journal",
        &[Value("code"), Value("name")],
        &[
            ("code", Vital),
            ("type", Vital),
            ("default_account_id", Setting),
            ("bank_account_id", Setting),
            ("currency_id", Setting),
            ("active", Setting),
        ],
        Confirm,
    ),
    table(
        "account_tax",
        NAME,
        &[
            ("amount", Kept),
            ("amount_type", Vital),
            ("type_tax_use", Vital),
            ("active", Setting),
            ("price_include", Setting),
            ("price_include_override", Setting),
            ("include_base_amount", Setting),
            ("tax_exigibility", Setting),
        ],
        Confirm,
    ),
    table(
        "account_tax_repartition_line",
        &[
            Of("tax_id", "account_tax"),
            Of("invoice_tax_id", "account_tax"),
            Of("refund_tax_id", "account_tax"),
            Value("repartition_type"),
        ],
        &[("factor_percent", Setting), ("account_id", Kept), ("document_type", Setting)],
        Confirm,
    ),
    pairs(
        "product_taxes_rel",
        &["prod_id", "tax_id"],
        &[Of("prod_id", "product_template"), Of("tax_id", "account_tax")],
    ),
    pairs(
        "product_supplier_taxes_rel",
        &["prod_id", "tax_id"],
        &[Of("prod_id", "product_template"), Of("tax_id", "account_tax")],
    ),
    table(
        "account_fiscal_position_tax",
        &[Of("tax_src_id", "account_tax")],
        &[("tax_src_id", Vital), ("tax_dest_id", Setting)],
        Confirm,
    ),
    table(
        "res_partner_bank",
        &[],
        &[("acc_number", Vital), ("partner_id", Vital), ("bank_id", Setting), ("active", Setting)],
        Confirm,
    ),
    table("account_payment_term", NAME, &[("active", Setting)], Confirm),
    for_purpose(
        "value",
        table(
            "account_payment_term_line",
            &[Of("payment_id", "account_payment_term")],
            &[
                ("value", Setting),
                ("value_amount", Kept),
                ("nb_days", Setting),
                ("days", Setting),
                ("delay_type", Setting),
            ],
            Confirm,
        ),
    ),
    table(
        "pos_payment_method",
        NAME,
        &[("journal_id", Kept), ("receivable_account_id", Setting), ("active", Setting)],
        Confirm,
    ),
];

impl Decisive {
    /// The table with this name, if its values decide.
    pub fn of(table: &str) -> Option<&'static Decisive> {
        DECISIVE.iter().find(|decisive| decisive.table == table)
    }

    /// What it means if a value of this column is another one.
    pub fn rule(&self, column: &str) -> Rule {
        self.columns.iter().find(|(name, _)| *name == column).map_or(Setting, |(_, rule)| *rule)
    }
}

impl Rule {
    /// Whether its values are recorded as digests, whatever they are.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Rule::Secret | Rule::SecretSetting | Rule::Code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_name_tables_above() {
        let mut above = BTreeSet::new();
        for one in &DECISIVE {
            for part in one.label {
                if let Of(_, table) = part {
                    assert!(above.contains(table), "{}: {table} is read later", one.table);
                }
            }
            above.insert(one.table);
        }
    }
}

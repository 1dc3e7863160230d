//! What neutralizing changes: a comparison of a copy with its source leaves it out.

use std::collections::BTreeSet;

use super::catalogue::statements;

/// Columns, and tables whose rows are deleted.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    columns: BTreeSet<(String, String)>,
    tables: BTreeSet<String>,
}

impl Touched {
    /// By the statements of the catalogue.
    pub fn by_neutralizing() -> Touched {
        let mut touched = Touched::default();
        for statement in statements() {
            let deleted = statement.sql.split("DELETE FROM public.").nth(1);
            let deleted =
                deleted.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            touched.tables.extend(deleted.map(str::to_owned));
            touched.columns.extend(statement.needs);
            if let Some((table, columns)) = statement.each {
                touched.columns.extend(columns.into_iter().map(|column| (table.clone(), column)));
            }
        }
        touched
    }

    /// Whether a change of this name (`table`, `table.column`, `table: a row`) can come from neutralizing.
    pub fn has(&self, what: &str) -> bool {
        let name = what.split([' ', ':']).next().unwrap_or_default();
        match name.split_once('.') {
            Some((table, column)) => {
                self.tables.contains(table) || self.columns.contains(&(table.to_owned(), column.to_owned()))
            }
            None => self.tables.contains(name) || name == "database" || name == "ir_config_parameter",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_and_passwords_are_never_left_out_and_what_is_switched_off_is() {
        let touched = Touched::by_neutralizing();
        for what in [
            "product_template.list_price",
            "res_users.password",
            "res_currency_rate",
            "sale_order",
            "account_tax.amount",
        ] {
            assert!(!touched.has(what), "{what}");
        }
        for what in ["ir_cron.active", "res_users.totp_secret", "ir_config_parameter", "mail_push_device"] {
            assert!(touched.has(what), "{what}");
        }
    }
}

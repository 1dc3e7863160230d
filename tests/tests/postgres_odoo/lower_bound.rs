//! What the modules of Odoo 17, 18 and 19 silence in a copy themselves (their `data/neutralize.sql`, read
//! in full for the Community editions), as facts in our words: the lower bound of our catalogue. A module
//! that silences more in a newer release gets a new line here.

use super::*;

/// What must hold of a column afterwards.
pub(super) enum Then {
    /// The secret is gone.
    Gone,
    On,
    Off,
    /// As SQL; the column is `x`, and other columns of the row have their names.
    Holds(&'static str),
}
use Then::{Gone, Holds, Off, On};

/// The value that must not be there afterwards.
const SECRET: &str = "live-secret-4711";

/// Modules, table, columns, and what holds of each column in every row.
pub(super) const FACTS: &[(&str, &str, &str, Then)] = &[
    ("base", "ir_mail_server", "active", Holds("x IS NOT true OR smtp_host LIKE '%.invalid'")),
    ("base", "ir_cron", "active", Holds("x IS NOT true OR id = 7")),
    ("base", "ir_act_server", "webhook_url", Holds("x NOT LIKE 'https://%'")),
    ("mail", "mail_template", "mail_server_id", Holds("x IS NULL")),
    ("mail", "fetchmail_server", "active", Off),
    ("mail", "mail_notification_web_push", "user_device", Holds("false")),
    ("mail", "mail_partner_device", "endpoint", Holds("false")),
    ("mail", "mail_push", "payload", Holds("false")),
    ("mail", "mail_push_device", "endpoint", Holds("false")),
    ("account_edi_proxy_client", "account_edi_proxy_client_user", "edi_mode", Holds("x <> 'prod'")),
    (
        "l10n_it_edi, account_peppol, l10n_dk_nemhandel",
        "account_edi_proxy_client_user",
        "edi_mode",
        Holds("x = 'demo'"),
    ),
    ("l10n_my_edi", "account_edi_proxy_client_user", "active", Off),
    ("auth_oauth", "auth_oauth_provider", "enabled", Off),
    ("certificate", "certificate_certificate", "pkcs12_password", Gone),
    ("certificate", "certificate_key", "password", Gone),
    ("delivery", "delivery_carrier", "prod_environment", Off),
    (
        "delivery",
        "delivery_carrier",
        "active",
        Holds("x IS NOT true OR delivery_type IN ('fixed', 'base_on_rule')"),
    ),
    ("delivery_mondialrelay", "delivery_carrier", "mondialrelay_brand", Holds("x = 'BDTEST  '")),
    ("google_calendar", "google_calendar_credentials", "calendar_rtoken calendar_token", Gone),
    ("google_calendar", "google_calendar_credentials", "synchronization_stopped", On),
    ("google_calendar", "res_users_settings", "google_calendar_rtoken google_calendar_token", Gone),
    ("google_calendar", "res_users_settings", "google_synchronization_stopped", On),
    ("microsoft_calendar", "res_users", "microsoft_calendar_token microsoft_calendar_rtoken", Gone),
    ("microsoft_calendar", "microsoft_calendar_credentials", "calendar_sync_token", Gone),
    ("microsoft_calendar", "microsoft_calendar_credentials", "synchronization_stopped", On),
    ("microsoft_calendar", "microsoft_calendar_credentials", "last_sync_date", Holds("x IS NULL")),
    ("microsoft_calendar", "res_users_settings", "microsoft_calendar_sync_token", Gone),
    ("microsoft_calendar", "res_users_settings", "microsoft_synchronization_stopped", On),
    ("microsoft_calendar", "res_users_settings", "microsoft_last_sync_date", Holds("x IS NULL")),
    ("iap", "iap_account", "account_token", Gone),
    ("l10n_eg_edi_eta", "res_company", "l10n_eg_production_env", Off),
    ("l10n_eg_edi_eta", "res_company", "l10n_eg_client_secret", Gone),
    ("l10n_es_edi_sii", "res_company", "l10n_es_edi_test_env l10n_es_sii_test_env", On),
    ("l10n_es_edi_tbai", "res_company", "l10n_es_tbai_test_env", On),
    ("l10n_es_edi_verifactu", "res_company", "l10n_es_edi_verifactu_test_environment", On),
    ("l10n_gr_edi", "res_company", "l10n_gr_edi_test_env", On),
    (
        "l10n_hr_edi",
        "res_company",
        "l10n_hr_mer_username l10n_hr_mer_password l10n_hr_mer_company_ident l10n_hr_mer_software_ident",
        Gone,
    ),
    ("l10n_hr_edi", "res_company", "l10n_hr_mer_connection_state", Holds("x = 'inactive'")),
    ("l10n_hr_edi", "res_company", "l10n_hr_mer_connection_mode", Holds("x = 'test'")),
    ("l10n_hu_edi", "res_company", "l10n_hu_edi_server_mode", Holds("x <> 'production'")),
    (
        "l10n_hu_edi",
        "res_company",
        "l10n_hu_edi_username l10n_hu_edi_password l10n_hu_edi_signature_key l10n_hu_edi_replacement_key",
        Gone,
    ),
    ("l10n_in, l10n_in_edi", "res_company", "l10n_in_edi_production_env", Off),
    ("l10n_in_edi", "res_company", "l10n_in_edi_username l10n_in_edi_password l10n_in_edi_token", Gone),
    ("l10n_in_edi", "res_company", "l10n_in_edi_token_validity", Holds("x IS NULL")),
    (
        "l10n_in_edi_ewaybill",
        "res_company",
        "l10n_in_edi_ewaybill_username l10n_in_edi_ewaybill_password",
        Gone,
    ),
    ("l10n_in_edi_ewaybill", "res_company", "l10n_in_edi_ewaybill_auth_validity", Holds("x IS NULL")),
    ("l10n_in_ewaybill", "res_company", "l10n_in_ewaybill_username l10n_in_ewaybill_password", Gone),
    ("l10n_in_ewaybill", "res_company", "l10n_in_ewaybill_auth_validity", Holds("x IS NULL")),
    ("l10n_it_edi", "res_company", "l10n_it_edi_register", Off),
    ("l10n_jo_edi", "res_company", "l10n_jo_edi_secret_key l10n_jo_edi_client_identifier", Gone),
    ("l10n_ke_edi_tremol", "res_company", "l10n_ke_cu_proxy_address", Gone),
    ("l10n_my_edi", "res_company", "l10n_my_edi_mode", Holds("x = 'test'")),
    (
        "l10n_pl_edi",
        "res_company",
        "l10n_pl_edi_access_token l10n_pl_edi_refresh_token l10n_pl_edi_session_id l10n_pl_edi_session_key l10n_pl_edi_session_iv",
        Gone,
    ),
    ("l10n_pl_edi", "res_company", "l10n_pl_edi_certificate", Holds("x IS NULL")),
    (
        "l10n_ro_edi, l10n_ro_efactura",
        "res_company",
        "l10n_ro_edi_client_id l10n_ro_edi_client_secret l10n_ro_edi_access_token l10n_ro_edi_refresh_token",
        Gone,
    ),
    ("l10n_ro_edi, l10n_ro_efactura", "res_company", "l10n_ro_edi_test_env", On),
    ("l10n_rs_edi", "res_company", "l10n_rs_edi_api_key", Gone),
    ("l10n_rs_edi", "res_company", "l10n_rs_edi_demo_env", On),
    ("l10n_sa_edi", "res_company", "l10n_sa_api_mode", Holds("x = 'sandbox'")),
    ("l10n_tr_nilvera", "res_company", "l10n_tr_nilvera_api_key", Gone),
    ("l10n_tr_nilvera", "res_company", "l10n_tr_nilvera_environment", Holds("x = 'sandbox'")),
    ("l10n_tr_nilvera", "res_company", "l10n_tr_nilvera_use_test_env", On),
    ("l10n_tr_nilvera", "res_company", "l10n_tr_nilvera_purchase_journal_id", Holds("x IS NULL")),
    ("l10n_tw_edi_ecpay", "res_company", "l10n_tw_edi_ecpay_staging_mode", On),
    ("l10n_vn_edi_viettel", "res_company", "l10n_vn_edi_username l10n_vn_edi_password", Gone),
    ("sale_gelato", "res_company", "gelato_api_key gelato_webhook_secret", Gone),
    ("sms_twilio", "res_company", "sms_twilio_auth_token", Gone),
    ("payment", "payment_provider", "state", Holds("x = 'disabled'")),
    ("payment_adyen", "payment_provider", "adyen_merchant_account adyen_api_key adyen_hmac_key", Gone),
    (
        "payment_alipay",
        "payment_provider",
        "alipay_merchant_partner_id alipay_md5_signature_key alipay_seller_email",
        Gone,
    ),
    (
        "payment_aps",
        "payment_provider",
        "aps_merchant_identifier aps_access_code aps_sha_request aps_sha_response",
        Gone,
    ),
    (
        "payment_asiapay",
        "payment_provider",
        "asiapay_merchant_id asiapay_secure_hash_secret asiapay_secure_hash_function",
        Gone,
    ),
    (
        "payment_authorize",
        "payment_provider",
        "authorize_login authorize_transaction_key authorize_signature_key authorize_client_key",
        Gone,
    ),
    ("payment_buckaroo", "payment_provider", "buckaroo_website_key buckaroo_secret_key", Gone),
    ("payment_dpo", "payment_provider", "dpo_company_token dpo_service_ref", Gone),
    (
        "payment_flutterwave",
        "payment_provider",
        "flutterwave_public_key flutterwave_secret_key flutterwave_webhook_secret",
        Gone,
    ),
    ("payment_iyzico", "payment_provider", "iyzico_key_id iyzico_key_secret", Gone),
    ("payment_mercado_pago", "payment_provider", "mercado_pago_access_token", Gone),
    ("payment_mollie", "payment_provider", "mollie_api_key", Gone),
    (
        "payment_nuvei",
        "payment_provider",
        "nuvei_merchant_identifier nuvei_site_identifier nuvei_secret_key",
        Gone,
    ),
    (
        "payment_ogone",
        "payment_provider",
        "ogone_pspid ogone_userid ogone_password ogone_shakey_in ogone_shakey_out",
        Gone,
    ),
    (
        "payment_paymob",
        "payment_provider",
        "paymob_public_key paymob_secret_key paymob_hmac_key paymob_api_key",
        Gone,
    ),
    (
        "payment_paypal",
        "payment_provider",
        "paypal_email_account paypal_pdt_token paypal_client_id paypal_client_secret",
        Gone,
    ),
    (
        "payment_payulatam",
        "payment_provider",
        "payulatam_merchant_id payulatam_account_id payulatam_api_key",
        Gone,
    ),
    ("payment_payumoney", "payment_provider", "payumoney_merchant_key payumoney_merchant_salt", Gone),
    (
        "payment_razorpay",
        "payment_provider",
        "razorpay_key_id razorpay_key_secret razorpay_webhook_secret",
        Gone,
    ),
    (
        "payment_razorpay, payment_razorpay_oauth",
        "payment_provider",
        "razorpay_account_id razorpay_refresh_token razorpay_public_token razorpay_access_token",
        Gone,
    ),
    (
        "payment_razorpay, payment_razorpay_oauth",
        "payment_provider",
        "razorpay_access_token_expiry",
        Holds("x IS NULL"),
    ),
    (
        "payment_redsys",
        "payment_provider",
        "redsys_merchant_code redsys_merchant_terminal redsys_secret_key",
        Gone,
    ),
    ("payment_sips", "payment_provider", "sips_merchant_id sips_secret", Gone),
    (
        "payment_stripe",
        "payment_provider",
        "stripe_secret_key stripe_publishable_key stripe_webhook_secret",
        Gone,
    ),
    (
        "payment_worldline",
        "payment_provider",
        "worldline_pspid worldline_api_key worldline_api_secret worldline_webhook_key worldline_webhook_secret",
        Gone,
    ),
    ("payment_xendit", "payment_provider", "xendit_secret_key xendit_webhook_token", Gone),
    ("pos_adyen", "pos_payment_method", "adyen_test_mode", On),
    ("pos_glory_cash", "pos_payment_method", "glory_websocket_address", Gone),
    ("pos_mercado_pago", "pos_payment_method", "mp_bearer_token mp_webhook_secret_key", Gone),
    ("pos_paytm", "pos_payment_method", "paytm_merchant_key", Gone),
    ("pos_paytm", "pos_payment_method", "paytm_test_mode", On),
    ("pos_pine_labs", "pos_payment_method", "pine_labs_merchant pine_labs_security_token", Gone),
    ("pos_pine_labs", "pos_payment_method", "pine_labs_test_mode", On),
    ("pos_qfpay", "pos_payment_method", "qfpay_pos_key qfpay_notification_key", Gone),
    ("pos_razorpay", "pos_payment_method", "razorpay_api_key", Gone),
    ("pos_razorpay", "pos_payment_method", "razorpay_test_mode", On),
    ("pos_viva_wallet", "pos_payment_method", "viva_wallet_test_mode", On),
    ("pos_viva_com", "pos_payment_method", "viva_com_test_mode", On),
    ("web", "ir_ui_view", "active", On),
    ("website", "website", "domain", Holds("x IS NULL")),
    ("website", "website", "cdn_activated", Off),
    ("website", "website", "robots_txt", Holds("x ~ 'User-agent: \\*' AND x ~ 'Disallow: /$'")),
    ("website_sale_autocomplete", "website", "google_places_api_key", Gone),
];

/// Modules, a system parameter, what it was, and what holds of its value `x` afterwards: NULL if it is
/// not there any more.
const PARAMETERS: &[(&str, &str, &str, &str)] = &[
    ("base", "database.is_neutralized", "False", "lower(x) = 'true'"),
    ("mail", "mail.web_push_vapid_private_key", SECRET, "x IS NULL"),
    ("mail", "mail.web_push_vapid_public_key", SECRET, "x IS NULL"),
    ("mail", "mail.sfu_server_key", SECRET, "x IS NULL"),
    ("account_peppol", "account_peppol.edi.mode", "prod", "x = 'demo'"),
    ("cloud_storage", "cloud_storage_provider", "google", "x IS NULL"),
    ("cloud_storage_azure", "cloud_storage_azure_account_name", SECRET, "x IS NULL"),
    ("cloud_storage_azure", "cloud_storage_azure_container_name", SECRET, "x IS NULL"),
    ("cloud_storage_azure", "cloud_storage_azure_tenant_id", SECRET, "x IS NULL"),
    ("cloud_storage_azure", "cloud_storage_azure_client_id", SECRET, "x IS NULL"),
    ("cloud_storage_azure", "cloud_storage_azure_client_secret", SECRET, "x IS NULL"),
    ("cloud_storage_google", "cloud_storage_google_bucket_name", SECRET, "x IS NULL"),
    ("cloud_storage_google", "cloud_storage_google_account_info", SECRET, "x IS NULL"),
    ("google_address_autocomplete", "google_address_autocomplete.google_places_api_key", SECRET, "x IS NULL"),
    ("google_recaptcha", "recaptcha_public_key", SECRET, "x IS NULL"),
    ("google_recaptcha", "recaptcha_private_key", SECRET, "x IS NULL"),
    ("l10n_dk_nemhandel", "l10n_dk_nemhandel.edi.mode", "prod", "x IN ('test', 'demo')"),
    ("l10n_pl_edi", "l10n_pl_edi_ksef.mode", "prod", "x = 'test'"),
    ("website_cf_turnstile", "cf.turnstile_site_key", SECRET, "x IS NULL"),
    ("website_cf_turnstile", "cf.turnstile_secret_key", SECRET, "x IS NULL"),
    ("website_event_jitsi", "website_jitsi.jitsi_server_domain", "meet.prod.example", "x IS NULL"),
];

/// What every such table has beside.
const BESIDE: &str = "
alter table ir_mail_server add name varchar, add smtp_port int, add smtp_host varchar, add smtp_encryption varchar, add smtp_authentication varchar,
  add sequence int;
alter table ir_model_data add module varchar, add name varchar, add model varchar, add res_id int;
insert into ir_model_data (module, name, model, res_id) values ('base', 'autovacuum_job', 'ir.cron', 7);
insert into ir_cron (id, active) values (7, true);
alter table ir_act_server add state varchar; update ir_act_server set state = 'webhook';
alter table delivery_carrier add delivery_type varchar; update delivery_carrier set delivery_type = 'fedex';
alter table account_edi_proxy_client_user add proxy_type varchar; update account_edi_proxy_client_user set proxy_type = 'l10n_it_edi';
alter table ir_ui_view add key varchar; update ir_ui_view set key = 'web.neutralize_banner', active = false;
insert into ir_ui_view (key, active) values ('website.neutralize_ribbon', false);
alter table ir_config_parameter add key varchar unique, add value text; delete from ir_config_parameter;";

/// Type of a column with a live value, and that value.
pub(super) fn live(column: &str, then: &Then, secrets: &'static str) -> (&'static str, String) {
    let secret = match secrets {
        "jsonb" => format!("'{{\"1\": \"{SECRET}\"}}'"),
        "bytea" => format!("'{SECRET}'::bytea"),
        _ => format!("'{SECRET}'"),
    };
    match (then, column) {
        (Gone, "account_token") => ("varchar not null", format!("'{SECRET}'")),
        (Gone, _) => (secrets, secret),
        (On, _) => ("bool", "false".into()),
        (Off, _) | (Holds(_), "active") => ("bool", "true".into()),
        (Holds(_), "mail_server_id" | "user_device") => ("int", "1".into()),
        (Holds(_), name) if name.ends_with("_journal_id") || name.ends_with("_certificate") => {
            ("int", "1".into())
        }
        (Holds(_), name)
            if name.ends_with("_date") || name.ends_with("_validity") || name.ends_with("_expiry") =>
        {
            ("timestamp", "'2026-01-01'".into())
        }
        (Holds(_), "webhook_url") => ("varchar", "'https://hooks.prod.example/x'".into()),
        (Holds(_), "l10n_sa_api_mode" | "edi_mode") => ("varchar", "'prod'".into()),
        (Holds(_), _) => ("varchar", "'production'".into()),
    }
}

/// A database in which everything is live that Odoo's modules know how to silence.
fn made(cluster: &Cluster, name: &str, secrets: &'static str) {
    let mut tables: BTreeMap<&str, BTreeMap<&str, (&str, String)>> = BTreeMap::new();
    for table in ["ir_model_data", "ir_config_parameter"] {
        tables.entry(table).or_default();
    }
    for (_, table, columns, then) in FACTS {
        for column in columns.split_whitespace() {
            tables.entry(table).or_default().insert(column, live(column, then, secrets));
        }
    }
    let mut sql = String::new();
    for (table, columns) in &tables {
        let types: String = columns.iter().map(|(name, (kind, _))| format!(", {name} {kind}")).collect();
        let (names, values): (Vec<_>, Vec<_>) =
            columns.iter().map(|(name, (_, value))| (*name, value.as_str())).unzip();
        sql += &format!("create table {table} (id serial{types});\n");
        if !columns.is_empty() {
            sql += &format!("insert into {table} ({}) values ({});\n", names.join(", "), values.join(", "));
        }
    }
    sql += BESIDE;
    for (_, key, was, _) in PARAMETERS {
        sql += &format!("insert into ir_config_parameter (key, value) values ('{key}', '{was}');\n");
    }
    cluster.create_db(name);
    cluster.psql(name, &sql);
}

/// The facts that do not hold.
fn broken(cluster: &Cluster, name: &str) -> Vec<String> {
    let mut asked = Vec::new();
    for (module, table, columns, then) in FACTS {
        for column in columns.split_whitespace() {
            let holds = match then {
                Gone => "coalesce(x::text, '') !~ 'live-secret|6c6976652d736563726574'", // the second is bytea
                On => "x IS true",
                Off => "x IS NOT true",
                Holds(sql) => sql,
            };
            asked.push(format!(
                "select '{module}: {table}.{column}' from (select {column} as x, * from {table}) as t where ({holds}) is not true"
            ));
        }
    }
    for (module, key, _, holds) in PARAMETERS {
        asked.push(format!(
            "select '{module}: parameter {key}' from (select (select value from ir_config_parameter where key = '{key}') as x) as t \
             where ({holds}) is not true"
        ));
    }
    cluster.psql(name, &asked.join(" union ")).lines().map(str::to_owned).collect()
}

/// As Odoo typed these columns in one release or another, and as NOT NULL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_odoo_silences_is_silenced() {
    let cluster = Cluster::start_default();
    for (at, secrets) in ["varchar", "text not null", "jsonb", "bytea"].into_iter().enumerate() {
        let name = format!("copy{at}");
        made(&cluster, &name, secrets);
        let facts = FACTS.iter().map(|(_, _, columns, _)| columns.split_whitespace().count()).sum::<usize>();
        assert_eq!(broken(&cluster, &name).len(), facts + PARAMETERS.len(), "all of it is live at first");
        let mut session = Session::connect(&options(&cluster), &name).await.unwrap();
        odoo::neutralize(&mut session, BASE_URL).await.unwrap();
        assert_eq!(broken(&cluster, &name), Vec::<String>::new(), "secrets as {secrets}");
    }
}

//! A neutralized copy in which one single thing is live again: the check of that name sees it, and no other.

use super::silencing::{Tables, add_columns, filled};
use super::*;

/// A check, the statement that makes one thing live, and what it names.
const ONE: &[(&str, &str, &str)] = &[
    (
        "active mail server",
        "update ir_mail_server set active = true, smtp_host = 'smtp.prod.example' where smtp_port = 1",
        "smtp.prod.example",
    ),
    (
        "log-in of a mail server",
        "update ir_mail_server set smtp_pass = 'hush' where smtp_port = 1",
        "prod-secret",
    ),
    ("no mail server that leads nowhere", "update ir_mail_server set active = false", "neutral"),
    ("active incoming mail server", "update fetchmail_server set active = true", "prod-secret"),
    ("password of an incoming mail server", "update fetchmail_server set password = 'hush'", "prod-secret"),
    ("active scheduled action", "insert into ir_cron (active) values (true)", "ir.cron 2"),
    ("mail in the queue", "update mail_mail set state = 'outgoing'", "mail.mail 1"),
    ("text message in the queue", "update sms_sms set state = 'outgoing'", "sms.sms 1"),
    ("letter in the queue", "update snailmail_letter set state = 'pending'", "snailmail.letter 1"),
    ("mass mailing in the queue", "update mailing_mailing set state = 'in_queue'", "mailing.mailing 1"),
    (
        "template with a mail server of its own",
        "update mail_template set mail_server_id = 1",
        "mail.template 1",
    ),
    ("browser that gets notifications", "insert into mail_push_device default values", "mail.push.device"),
    ("job in the queue", "update queue_job set state = 'pending'", "queue.job 1"),
    ("WhatsApp account", "update whatsapp_account set active = true", "whatsapp.account 1"),
    ("enabled payment provider", "update payment_provider set state = 'enabled'", "payment.provider 1"),
    (
        "key of a payment provider",
        "update payment_provider set stripe_secret_key = 'sk'",
        "stripe_secret_key",
    ),
    ("enabled payment acquirer", "update payment_acquirer set state = 'test'", "payment.acquirer 1"),
    ("saved card", "update payment_token set active = true", "payment.token 1"),
    (
        "payment terminal",
        "update pos_payment_method set use_payment_terminal = 'adyen'",
        "pos.payment.method 1",
    ),
    (
        "key of a payment terminal",
        "update pos_payment_method set viva_com_test_mode = false",
        "viva_com_test_mode",
    ),
    ("device of a shop", "update pos_config set proxy_ip = '192.0.2.7'", "proxy_ip"),
    ("IoT box", "update iot_box set ip = '192.0.2.8'", "192.0.2.8"),
    (
        "delivery carrier in production",
        "update delivery_carrier set prod_environment = true",
        "delivery.carrier 1",
    ),
    ("carrier of another company", "update delivery_carrier set active = true, delivery_type = 'ups'", "ups"),
    ("bank connection", "update account_online_link set state = 'connected'", "account.online.link 1"),
    (
        "exchange of electronic documents in production",
        "update account_edi_proxy_client_user set edi_mode = 'prod'",
        "prod",
    ),
    (
        "active exchange of electronic documents",
        "update account_edi_proxy_client_user set active = true",
        "user 1",
    ),
    (
        "electronic document in the queue",
        "update account_edi_document set state = 'to_send'",
        "account.edi.document 1",
    ),
    (
        "company in production with an authority",
        "update res_company set l10n_es_sii_test_env = false",
        "l10n_es_sii_test_env",
    ),
    (
        "log-in of a company with a service",
        "update res_company set l10n_ro_edi_access_token = 'hush'",
        "l10n_ro_edi_access_token",
    ),
    (
        "password of a certificate",
        "update certificate_certificate set pkcs12_password = 'hush'",
        "certificate.certificate 1",
    ),
    ("password of a private key", "update certificate_key set password = 'hush'", "certificate.key 1"),
    (
        "webhook that calls others",
        "update ir_act_server set webhook_url = 'https://hooks.example/1'",
        "ir.actions.server 1",
    ),
    ("active automation rule", "update base_automation set active = true", "base.automation 1"),
    (
        "enabled log-in through others",
        "update auth_oauth_provider set enabled = true",
        "auth.oauth.provider 1",
    ),
    (
        "token of a user",
        "update res_users set microsoft_calendar_rtoken = 'hush'",
        "microsoft_calendar_rtoken",
    ),
    (
        "token among the settings of a user",
        "update res_users_settings set google_calendar_token = 'hush'",
        "google_calendar_token",
    ),
    (
        "token of a calendar",
        "update google_calendar_credentials set calendar_rtoken = 'hush'",
        "calendar_rtoken",
    ),
    ("second factor of a user", "update res_users set totp_secret = 'hush'", "res.users 1"),
    ("API key of a user", "insert into res_users_apikeys (key) values ('hash')", "res.users.apikeys"),
    (
        "directory of the company",
        "update res_company_ldap set ldap_server = 'ldap.prod.example'",
        "ldap.prod.example",
    ),
    ("address of a website", "update website set domain = 'prod.example'", "prod.example"),
    ("website with a delivery network", "update website set cdn_activated = true", "website 1"),
    ("account of paid services", "update iap_account set account_token = 'abc'", "iap.account 1"),
    (
        "address of a paid service",
        "delete from ir_config_parameter where key = 'sms.endpoint'",
        "sms.endpoint",
    ),
    (
        "secret among the system parameters",
        "insert into ir_config_parameter (key, value) values ('shop.client_secret', 'hush-hush')",
        "shop.client_secret",
    ),
    (
        "mode of electronic documents",
        "update ir_config_parameter set value = 'prod' where key = 'account_peppol.edi.mode'",
        "account_peppol.edi.mode",
    ),
    (
        "frozen address",
        "insert into ir_config_parameter (key, value) values ('report.url', 'https://prod.example')",
        "report.url",
    ),
    (
        "no mark of a neutralized copy",
        "update ir_config_parameter set value = 'False' where key = 'database.is_neutralized'",
        "is_neutralized",
    ),
    ("attachment store", "update fs_storage set protocol = 's3', options = '{}'", "fs.storage 1"),
    (
        "place of attachments",
        "insert into ir_config_parameter (key, value) values ('ir_attachment.location', 's3')",
        "s3",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_single_thing_that_is_left_live_is_caught_by_name() {
    let cluster = Cluster::start_default();
    cluster.create_db("copy");
    let mut tables = Tables::new();
    for statement in catalogue::statements().into_iter().chain(catalogue::checks()) {
        add_columns(&mut tables, &statement);
    }
    cluster.psql("copy", &filled(&mut tables));
    let mut session = Session::connect(&options(&cluster), "copy").await.unwrap();
    odoo::neutralize(&mut session, BASE_URL).await.unwrap();
    session.close().await;
    let tried: HashSet<&str> = ONE.iter().map(|(check, _, _)| *check).collect();
    let all = catalogue::checks();
    let missing: Vec<&str> =
        all.iter().map(|check| check.name.as_str()).filter(|name| !tried.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "checks that nothing tries");
    for (check, live, named) in ONE {
        cluster.psql("postgres", "drop database if exists one; create database one template copy");
        cluster.psql("one", live);
        let mut session = Session::connect(&options(&cluster), "one").await.unwrap();
        let found = odoo::still_live(&mut session).await.unwrap();
        session.close().await;
        assert_eq!(found.len(), 1, "{check}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("{check}: ")) && found[0].contains(named),
            "{check}: {found:#?}"
        );
    }
}

-- What must not be left live: each query gives a text for every thing that is.

-- name: active mail server
-- needs: ir_mail_server.active ir_mail_server.smtp_host ir_mail_server.name
-- why: mail could leave
SELECT name || ' (' || coalesce(smtp_host, '') || ')' FROM public.ir_mail_server
WHERE active AND coalesce(smtp_host, '') NOT LIKE '%.invalid';

-- name: log-in of a mail server
-- needs: ir_mail_server.smtp_user ir_mail_server.smtp_pass ir_mail_server.name
-- why: mail could leave
SELECT name FROM public.ir_mail_server WHERE coalesce(smtp_user, '') <> '' OR coalesce(smtp_pass, '') <> '';

-- name: no mail server that leads nowhere
-- needs: ir_mail_server.active ir_mail_server.smtp_host
-- why: Odoo falls back to the server in odoo.conf
SELECT 'none of the mail servers is the neutral one'
WHERE NOT EXISTS (SELECT FROM public.ir_mail_server WHERE active AND smtp_host LIKE '%.invalid');

-- name: active incoming mail server
-- needs: fetchmail_server.active fetchmail_server.name
-- why: production's mail could be fetched
SELECT name FROM public.fetchmail_server WHERE active;

-- name: password of an incoming mail server
-- needs: fetchmail_server.password fetchmail_server.name
-- why: production's mail could be fetched
SELECT name FROM public.fetchmail_server WHERE coalesce(password, '') <> '';

-- name: active scheduled action
-- needs: ir_cron.active ir_cron.id ir_model_data.module ir_model_data.name ir_model_data.model ir_model_data.res_id
-- why: it may talk to the outside
SELECT 'ir.cron ' || c.id || coalesce((SELECT ' (' || min(d.module || '.' || d.name) || ')'
    FROM public.ir_model_data d WHERE d.model = 'ir.cron' AND d.res_id = c.id), '')
FROM public.ir_cron c WHERE c.active AND NOT EXISTS (SELECT FROM public.ir_model_data d
    WHERE d.model = 'ir.cron' AND d.res_id = c.id AND d.module = 'base' AND d.name = 'autovacuum_job');

-- name: mail in the queue
-- needs: mail_mail.state mail_mail.id
-- why: it could be sent
SELECT 'mail.mail ' || id FROM public.mail_mail WHERE state = 'outgoing';

-- name: text message in the queue
-- needs: sms_sms.state sms_sms.id
-- why: it could be sent
SELECT 'sms.sms ' || id FROM public.sms_sms WHERE state = 'outgoing';

-- name: letter in the queue
-- needs: snailmail_letter.state snailmail_letter.id
-- why: it could be posted
SELECT 'snailmail.letter ' || id FROM public.snailmail_letter WHERE state = 'pending';

-- name: mass mailing in the queue
-- needs: mailing_mailing.state mailing_mailing.id
-- why: it could be sent
SELECT 'mailing.mailing ' || id FROM public.mailing_mailing WHERE state = 'in_queue';

-- name: template with a mail server of its own
-- needs: mail_template.mail_server_id mail_template.id
-- why: mail could leave
SELECT 'mail.template ' || id FROM public.mail_template WHERE mail_server_id IS NOT NULL;

-- name: browser that gets notifications
-- needs: mail_push_device.endpoint mail_push_device.id
-- why: users could be notified
SELECT 'mail.push.device ' || id FROM public.mail_push_device;

-- name: job in the queue
-- needs: queue_job.state queue_job.id
-- why: a runner could carry it out
SELECT 'queue.job ' || id FROM public.queue_job WHERE state = 'pending';

-- name: WhatsApp account
-- needs: whatsapp_account.active whatsapp_account.id
-- why: customers could be written to
SELECT 'whatsapp.account ' || id FROM public.whatsapp_account WHERE active;

-- name: enabled payment provider
-- needs: payment_provider.state payment_provider.code payment_provider.id
-- why: cards could be charged
SELECT 'payment.provider ' || id || ' (' || code || ', ' || state || ')' FROM public.payment_provider WHERE state <> 'disabled';

-- name: enabled payment acquirer
-- needs: payment_acquirer.state payment_acquirer.id
-- why: cards could be charged
SELECT 'payment.acquirer ' || id FROM public.payment_acquirer WHERE state <> 'disabled';

-- name: key of a payment provider
-- needs: payment_provider.id
-- why: cards could be charged
SELECT 'payment.provider ' || p.id || ' (' || f.key || ')' FROM public.payment_provider p CROSS JOIN jsonb_each_text(to_jsonb(p)) f
WHERE coalesce(f.value, '') <> '' AND f.key IN ('adyen_api_key', 'adyen_hmac_key', 'alipay_md5_signature_key', 'aps_access_code',
    'asiapay_secure_hash_secret', 'authorize_transaction_key', 'authorize_signature_key', 'buckaroo_secret_key', 'dpo_company_token',
    'flutterwave_secret_key', 'iyzico_key_secret', 'mercado_pago_access_token', 'mollie_api_key', 'nuvei_secret_key', 'ogone_password',
    'paymob_secret_key', 'paypal_client_secret', 'paypal_pdt_token', 'payulatam_api_key', 'payumoney_merchant_salt',
    'razorpay_key_secret', 'razorpay_access_token', 'redsys_secret_key', 'sips_secret', 'stripe_secret_key', 'stripe_webhook_secret',
    'worldline_api_secret', 'xendit_secret_key');

-- name: saved card
-- needs: payment_token.active payment_token.id
-- why: cards could be charged
SELECT 'payment.token ' || id FROM public.payment_token WHERE active;

-- name: payment terminal
-- needs: pos_payment_method.use_payment_terminal pos_payment_method.id
-- why: a terminal in a shop could start
SELECT 'pos.payment.method ' || id FROM public.pos_payment_method WHERE coalesce(use_payment_terminal, '') <> '';

-- name: key of a payment terminal
-- needs: pos_payment_method.id
-- why: a terminal in a shop could start
SELECT 'pos.payment.method ' || p.id || ' (' || f.key || ')' FROM public.pos_payment_method p CROSS JOIN jsonb_each_text(to_jsonb(p)) f
WHERE coalesce(f.value, '') <> '' AND f.key IN ('adyen_api_key', 'dpopay_client_secret', 'glory_websocket_address', 'mp_bearer_token',
    'mp_webhook_secret_key', 'paytm_merchant_key', 'pine_labs_security_token', 'qfpay_pos_key', 'qfpay_notification_key',
    'razorpay_api_key', 'six_terminal_ip', 'stripe_serial_number', 'viva_wallet_client_secret', 'viva_com_client_secret')
OR f.value = 'false' AND f.key IN ('adyen_test_mode', 'dpopay_test_mode', 'paytm_test_mode', 'pine_labs_test_mode',
    'razorpay_test_mode', 'viva_wallet_test_mode', 'viva_com_test_mode');

-- name: device of a shop
-- needs: pos_config.id
-- why: it could print, or open a drawer
SELECT 'pos.config ' || p.id || ' (' || f.key || ')' FROM public.pos_config p CROSS JOIN jsonb_each_text(to_jsonb(p)) f
WHERE coalesce(f.value, '') <> '' AND f.key IN ('proxy_ip', 'epson_printer_ip');

-- name: IoT box
-- needs: iot_box.ip iot_box.id
-- why: it could print, weigh or take payments
SELECT 'iot.box ' || id || ' (' || ip || ')' FROM public.iot_box WHERE coalesce(ip, '') <> '';

-- name: delivery carrier in production
-- needs: delivery_carrier.prod_environment delivery_carrier.id
-- why: parcels could be ordered
SELECT 'delivery.carrier ' || id FROM public.delivery_carrier WHERE prod_environment;

-- name: carrier of another company
-- needs: delivery_carrier.active delivery_carrier.delivery_type delivery_carrier.id
-- why: parcels could be ordered
SELECT 'delivery.carrier ' || id || ' (' || delivery_type || ')' FROM public.delivery_carrier
WHERE active AND delivery_type <> 'fixed' AND delivery_type <> 'base_on_rule';

-- name: bank connection
-- needs: account_online_link.state account_online_link.id
-- why: production's consent could be used
SELECT 'account.online.link ' || id FROM public.account_online_link WHERE state IS DISTINCT FROM 'disconnected';

-- name: exchange of electronic documents in production
-- needs: account_edi_proxy_client_user.edi_mode account_edi_proxy_client_user.id
-- why: invoices could be sent
SELECT 'account_edi_proxy_client.user ' || id || ' (' || edi_mode || ')' FROM public.account_edi_proxy_client_user WHERE edi_mode <> 'demo';

-- name: active exchange of electronic documents
-- needs: account_edi_proxy_client_user.active account_edi_proxy_client_user.id
-- why: invoices could be sent
SELECT 'account_edi_proxy_client.user ' || id FROM public.account_edi_proxy_client_user WHERE active;

-- name: electronic document in the queue
-- needs: account_edi_document.state account_edi_document.id
-- why: it could be sent
SELECT 'account.edi.document ' || id FROM public.account_edi_document WHERE state LIKE 'to\_%';

-- name: company in production with an authority
-- needs: res_company.id
-- why: a document could be registered
SELECT 'res.company ' || c.id || ' (' || f.key || ' = ' || f.value || ')'
FROM public.res_company c CROSS JOIN jsonb_each_text(to_jsonb(c)) f
JOIN (VALUES ('l10n_eg_production_env', 'true'), ('l10n_in_edi_production_env', 'true'), ('l10n_it_edi_register', 'true'),
    ('l10n_ec_production_env', 'true'), ('l10n_es_edi_test_env', 'false'), ('l10n_es_sii_test_env', 'false'),
    ('l10n_es_tbai_test_env', 'false'), ('l10n_es_edi_verifactu_test_environment', 'false'), ('l10n_gr_edi_test_env', 'false'),
    ('l10n_ro_edi_test_env', 'false'), ('l10n_rs_edi_demo_env', 'false'), ('l10n_tr_nilvera_use_test_env', 'false'),
    ('l10n_tw_edi_ecpay_staging_mode', 'false'), ('l10n_hu_edi_server_mode', 'production'), ('l10n_my_edi_mode', 'prod'),
    ('l10n_sa_api_mode', 'prod'), ('l10n_tr_nilvera_environment', 'production'), ('l10n_hr_mer_connection_mode', 'prod'),
    ('l10n_hr_mer_connection_state', 'active'), ('l10n_cl_dte_service_provider', 'SII'),
    ('l10n_ar_afip_ws_environment', 'production')) AS live(key, value) ON live.key = f.key AND live.value = f.value;

-- name: log-in of a company with a service
-- needs: res_company.id
-- why: a document could be registered, a message sent or a print ordered
SELECT 'res.company ' || c.id || ' (' || f.key || ')' FROM public.res_company c CROSS JOIN jsonb_each_text(to_jsonb(c)) f
WHERE coalesce(f.value, '') <> '' AND f.key IN ('l10n_eg_client_secret', 'l10n_gr_edi_aade_key', 'l10n_hr_mer_password',
    'l10n_hu_edi_password', 'l10n_hu_edi_signature_key', 'l10n_in_edi_password', 'l10n_in_edi_token', 'l10n_in_edi_ewaybill_password',
    'l10n_in_ewaybill_password', 'l10n_jo_edi_secret_key', 'l10n_ke_cu_proxy_address', 'l10n_pl_edi_access_token',
    'l10n_pl_edi_refresh_token', 'l10n_ro_edi_access_token', 'l10n_ro_edi_client_secret', 'l10n_ro_edi_refresh_token',
    'l10n_rs_edi_api_key', 'l10n_sa_private_key', 'l10n_tr_nilvera_api_key', 'l10n_tw_edi_ecpay_hashkey', 'l10n_vn_edi_password',
    'l10n_vn_edi_token', 'gelato_api_key', 'sms_twilio_auth_token');

-- name: password of a certificate
-- needs: certificate_certificate.pkcs12_password certificate_certificate.id
-- why: documents could be signed
SELECT 'certificate.certificate ' || id FROM public.certificate_certificate WHERE coalesce(pkcs12_password, '') <> '';

-- name: password of a private key
-- needs: certificate_key.password certificate_key.id
-- why: documents could be signed
SELECT 'certificate.key ' || id FROM public.certificate_key WHERE coalesce(password, '') <> '';

-- name: webhook that calls others
-- needs: ir_act_server.webhook_url ir_act_server.id
-- why: another system could be told
SELECT 'ir.actions.server ' || id FROM public.ir_act_server WHERE webhook_url NOT LIKE 'http://webhook.invalid/%';

-- name: active automation rule
-- needs: base_automation.active base_automation.id
-- why: its code could call others, and production's webhooks would work
SELECT 'base.automation ' || id FROM public.base_automation WHERE active;

-- name: enabled log-in through others
-- needs: auth_oauth_provider.enabled auth_oauth_provider.id
-- why: a log-in for the copy would be one for production
SELECT 'auth.oauth.provider ' || id FROM public.auth_oauth_provider WHERE enabled;

-- name: token of a user
-- needs: res_users.id
-- why: the user's calendar or account with a provider could be used
SELECT 'res.users ' || u.id || ' (' || f.key || ')' FROM public.res_users u CROSS JOIN jsonb_each_text(to_jsonb(u)) f
WHERE coalesce(f.value, '') <> '' AND f.key IN ('oauth_access_token', 'microsoft_calendar_token', 'microsoft_calendar_rtoken',
    'google_calendar_token', 'google_calendar_rtoken');

-- name: token among the settings of a user
-- needs: res_users_settings.id
-- why: the user's calendar could be changed
SELECT 'res.users.settings ' || u.id || ' (' || f.key || ')' FROM public.res_users_settings u CROSS JOIN jsonb_each_text(to_jsonb(u)) f
WHERE coalesce(f.value, '') <> '' AND f.key IN ('google_calendar_token', 'google_calendar_rtoken', 'microsoft_calendar_sync_token');

-- name: token of a calendar
-- needs: google_calendar_credentials.id
-- why: the user's calendar could be changed
SELECT 'google.calendar.credentials ' || g.id || ' (' || f.key || ')' FROM public.google_calendar_credentials g
CROSS JOIN jsonb_each_text(to_jsonb(g)) f WHERE coalesce(f.value, '') <> '' AND f.key IN ('calendar_token', 'calendar_rtoken');

-- name: second factor of a user
-- needs: res_users.totp_secret res_users.id
-- why: with it the codes of production can be computed
SELECT 'res.users ' || id FROM public.res_users WHERE coalesce(totp_secret, '') <> '';

-- name: API key of a user
-- needs: res_users_apikeys.key res_users_apikeys.id
-- why: a program could take the copy for production
SELECT 'res.users.apikeys ' || id FROM public.res_users_apikeys;

-- name: directory of the company
-- needs: res_company_ldap.ldap_server res_company_ldap.id
-- why: users' passwords would be tried on it
SELECT 'res.company.ldap ' || id || ' (' || ldap_server || ')' FROM public.res_company_ldap WHERE ldap_server NOT LIKE '%.invalid';

-- name: address of a website
-- needs: website.domain website.id
-- why: visitors would be sent to production
SELECT 'website ' || id || ' (' || domain || ')' FROM public.website WHERE coalesce(domain, '') <> '';

-- name: website with a delivery network
-- needs: website.cdn_activated website.id
-- why: pages would be served from production's network
SELECT 'website ' || id FROM public.website WHERE cdn_activated;

-- name: account of paid services
-- needs: iap_account.account_token iap_account.id
-- why: the company's credit could be used
SELECT 'iap.account ' || id FROM public.iap_account WHERE account_token !~ '^neutralized-';

-- name: address of a paid service
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: the company's credit could be used
SELECT service FROM unnest('{iap.endpoint,sms.endpoint,snailmail.endpoint,iap.partner_autocomplete.endpoint,enrich.endpoint,reveal.endpoint}'::text[]) service
WHERE NOT EXISTS (SELECT FROM public.ir_config_parameter WHERE key = service AND value ~ '^http://127[.]0[.]0[.]1:9$');

-- name: secret among the system parameters
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: another service could be used
SELECT key FROM public.ir_config_parameter
WHERE key ~ '(secret|password|api_key|token)$' AND key <> 'database.secret' AND length(value) > 7 AND value !~ '^[0-9]+$';

-- name: mode of electronic documents
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: invoices could be sent
SELECT key FROM public.ir_config_parameter WHERE key ~ '[.]edi[.]mode$|_ksef[.]mode$' AND value = 'prod';

-- name: frozen address
-- needs: ir_config_parameter.key
-- why: it leads to production
SELECT key FROM public.ir_config_parameter WHERE key IN ('web.base.url.freeze', 'report.url');

-- name: no mark of a neutralized copy
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: Odoo would not know that it is a copy
SELECT 'database.is_neutralized is not set'
WHERE NOT EXISTS (SELECT FROM public.ir_config_parameter WHERE key = 'database.is_neutralized' AND lower(value) = 'true');

-- name: attachment store
-- needs: fs_storage.protocol fs_storage.options fs_storage.id
-- why: production's attachments could be written or deleted
SELECT 'fs.storage ' || id FROM public.fs_storage WHERE protocol IS DISTINCT FROM 'odoofs' AND coalesce(options, '') <> '';

-- name: place of attachments
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: production's attachments could be written or deleted
SELECT value FROM public.ir_config_parameter WHERE key = 'ir_attachment.location' AND value NOT IN ('file', 'db');

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

-- name: payment terminal
-- needs: pos_payment_method.use_payment_terminal pos_payment_method.id
-- why: a terminal in a shop could start
SELECT 'pos.payment.method ' || id FROM public.pos_payment_method WHERE coalesce(use_payment_terminal, '') <> '';

-- name: delivery carrier in production
-- needs: delivery_carrier.prod_environment delivery_carrier.id
-- why: parcels could be ordered
SELECT 'delivery.carrier ' || id FROM public.delivery_carrier WHERE prod_environment;

-- name: bank connection
-- needs: account_online_link.state account_online_link.id
-- why: production's consent could be used
SELECT 'account.online.link ' || id FROM public.account_online_link WHERE state IS DISTINCT FROM 'disconnected';

-- name: exchange of electronic documents in production
-- needs: account_edi_proxy_client_user.edi_mode account_edi_proxy_client_user.id
-- why: invoices could be sent
SELECT 'account_edi_proxy_client.user ' || id FROM public.account_edi_proxy_client_user WHERE edi_mode = 'prod';

-- name: webhook that calls others
-- needs: ir_act_server.webhook_url ir_act_server.id
-- why: another system could be told
SELECT 'ir.actions.server ' || id FROM public.ir_act_server WHERE webhook_url NOT LIKE 'http://webhook.invalid/%';

-- name: webhook that others call
-- needs: base_automation.trigger base_automation.active base_automation.id
-- why: production's addresses would work
SELECT 'base.automation ' || id FROM public.base_automation WHERE trigger = 'on_webhook' AND active;

-- name: enabled log-in through others
-- needs: auth_oauth_provider.enabled auth_oauth_provider.id
-- why: a log-in for the copy would be one for production
SELECT 'auth.oauth.provider ' || id FROM public.auth_oauth_provider WHERE enabled;

-- name: address of a website
-- needs: website.domain website.id
-- why: visitors would be sent to production
SELECT 'website ' || id || ' (' || domain || ')' FROM public.website WHERE coalesce(domain, '') <> '';

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

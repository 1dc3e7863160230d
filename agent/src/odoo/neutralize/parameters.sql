-- Secrets and addresses among the system parameters (table ir_config_parameter).

-- name: subscription of the company
-- needs: ir_config_parameter.key
-- why: the copy would report its own users under production's subscription
DELETE FROM public.ir_config_parameter WHERE key = 'database.enterprise_code';

-- name: settings of services among the system parameters
-- needs: ir_config_parameter.key
-- why: with them the copy, and whoever reads it, acts as the company with other services
DELETE FROM public.ir_config_parameter WHERE key IN (
    'cf.turnstile_site_key', 'cloud_storage_azure_account_name', 'cloud_storage_azure_client_id',
    'cloud_storage_azure_container_name', 'cloud_storage_azure_tenant_id', 'cloud_storage_google_account_info',
    'cloud_storage_google_bucket_name', 'cloud_storage_provider', 'database.already_linked_send_mail_url',
    'database.already_linked_subscription_url', 'ebay_dev_id', 'ebay_prod_cert_id', 'ebay_sandbox_cert_id',
    'google_calendar_client_id', 'google_drive_authorization_code', 'google_gmail_client_id', 'google.pse.id',
    'l10n_eg_eta.sign.host', 'mail_mobile.enable_ocn', 'mail.sfu_server_url', 'mail.twilio_account_sid',
    'microsoft_account.auth_endpoint', 'microsoft_calendar_client_id', 'microsoft_outlook_client_id', 'ocn.uuid',
    'odoo_ocn.project_id', 'unsplash.app_id', 'website_jitsi.jitsi_server_domain');

-- name: secrets among the system parameters
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: with them the copy, and whoever reads it, acts as the company with other services; Odoo takes its default for a parameter that is missing
DELETE FROM public.ir_config_parameter
WHERE key ~* '(token|secret|passw|passphrase|credential|api_?key|access_?key|webhook|private|(^|[._-])(keys?|api|dsn|pwd|pass|pin|bearer|hmac|sid|salt|login|username)([._-]|$))'
AND key NOT IN ('database.secret', 'password.hashing.rounds')
AND key NOT LIKE 'auth\_password\_policy.%' AND key NOT LIKE 'auth\_signup.%'
AND lower(coalesce(value, '')) NOT IN ('', 'true', 'false', 'none', 't', 'f', 'yes', 'no')
AND (key ~* '(secret|passw|passphrase|[._-](pwd|pass|pin)$)' OR value !~ '^[0-9]{1,6}$');

-- name: system parameters that hold a secret
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: an address with a password, a private key or a known kind of token, under whatever name
DELETE FROM public.ir_config_parameter
WHERE key NOT IN ('database.secret', 'database.uuid')
AND value ~ '([a-zA-Z][a-zA-Z0-9+.-]*://[^/[:space:]@]*:[^/[:space:]@]*@|PRIVATE KEY|"private_key"|AGE-SECRET-KEY-|(^|[^A-Za-z0-9])(AKIA[0-9A-Z]{16}|xox[abprs]-|[sr]k_(live|test)_|gh[pousr]_|glpat-|SG\.[A-Za-z0-9_-]{16}|AIza[A-Za-z0-9_-]{30}|eyJ[A-Za-z0-9_-]{8,}\.eyJ))';

-- name: Odoo's paid services
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: every call to a paid service goes to one of these addresses; without the parameter it goes to Odoo
INSERT INTO public.ir_config_parameter (key, value)
SELECT key, 'http://127.0.0.1:9' FROM unnest(ARRAY['iap.endpoint', 'sms.endpoint', 'snailmail.endpoint',
    'iap.partner_autocomplete.endpoint', 'enrich.endpoint', 'reveal.endpoint', 'html_editor.media_library_endpoint',
    'html_editor.olg_api_endpoint', 'l10n_in.endpoint', 'l10n_in_edi.endpoint', 'l10n_in_edi_ewaybill.endpoint',
    'l10n_in_gstin_status.endpoint', 'mail.server.gmail.iap.endpoint', 'mail.server.outlook.iap.endpoint',
    'pos_pine_labs.pine_labs_proxy_endpoint', 'web_editor.media_library_endpoint', 'web_editor.olg_api_endpoint',
    'website.olg_api_endpoint', 'website.website_api_endpoint']) AS dead(key)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- name: modes of the exchange of electronic documents
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: an invoice of the copy would be sent to the tax authority or the customer
UPDATE public.ir_config_parameter SET value = CASE key WHEN 'l10n_pl_edi_ksef.mode' THEN 'test' ELSE 'demo' END
WHERE key IN ('account_edi_proxy_client.demo', 'account_peppol.edi.mode', 'l10n_dk_nemhandel.edi.mode',
    'l10n_it_edi.proxy_user_edi_mode', 'l10n_pl_edi_ksef.mode') AND value NOT IN ('demo', 'test');

-- name: mode of the exchange of electronic documents, if none is set
-- needs: ir_config_parameter.key ir_config_parameter.value account_edi_proxy_client_user.proxy_type
-- why: without a mode Odoo takes production
INSERT INTO public.ir_config_parameter (key, value)
SELECT key, 'demo' FROM unnest(ARRAY['account_edi_proxy_client.demo', 'account_peppol.edi.mode',
    'l10n_dk_nemhandel.edi.mode']) AS mode(key)
ON CONFLICT (key) DO NOTHING;

-- name: mode of the Polish authority, if none is set
-- needs: ir_config_parameter.key ir_config_parameter.value res_company.l10n_pl_edi_access_token
-- why: without a mode Odoo takes production
INSERT INTO public.ir_config_parameter (key, value) VALUES ('l10n_pl_edi_ksef.mode', 'test')
ON CONFLICT (key) DO NOTHING;

-- Who the copy is, and who may get in through others.
-- Left as they are on purpose: passwords, second factors (auth_totp) and API keys of users. They
-- protect the copy as they protect production; a copy that anyone can enter would be a leak.
-- A drill that needs a log-in sets its own.

-- name: address of the copy
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: links in documents, and Odoo's calls to itself, would lead to production
INSERT INTO public.ir_config_parameter (key, value) VALUES ('web.base.url', {base_url})
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- name: address kept by force
-- needs: ir_config_parameter.key
-- why: report.url sends the printing of documents to production; a frozen address would outlive this one
DELETE FROM public.ir_config_parameter WHERE key IN ('web.base.url.freeze', 'report.url');

-- name: new database.uuid
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: the copy would take production's place with Odoo's services
INSERT INTO public.ir_config_parameter (key, value) VALUES ('database.uuid', {uuid})
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- name: new database.secret
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: links and tokens that the copy signs would be valid in production
INSERT INTO public.ir_config_parameter (key, value) VALUES ('database.secret', {secret})
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- name: mark of a neutralized copy
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: Odoo 16 and newer show it and act upon it
INSERT INTO public.ir_config_parameter (key, value) VALUES ('database.is_neutralized', 'True')
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- name: banner on the screen
-- needs: ir_ui_view.key ir_ui_view.active
-- why: people must see that this is not production
UPDATE public.ir_ui_view SET active = true
WHERE key IN ('web.neutralize_banner', 'website.neutralize_ribbon') AND active IS NOT true;

-- name: subscription of the company
-- needs: ir_config_parameter.key
-- why: the copy would report its own users under production's subscription
DELETE FROM public.ir_config_parameter WHERE key = 'database.enterprise_code';

-- name: secrets among the system parameters
-- needs: ir_config_parameter.key
-- why: with them the copy, and whoever reads it, acts as the company with other services
DELETE FROM public.ir_config_parameter WHERE key IN (
    'base_geolocalize.google_map_api_key', 'cf.turnstile_secret_key', 'cloud_storage_azure_client_secret',
    'cloud_storage_google_account_info', 'cloud_storage_provider',
    'ebay_dev_id', 'ebay_sandbox_token', 'ebay_prod_token',
    'ebay_prod_cert_id', 'ebay_sandbox_cert_id', 'google_calendar_client_secret', 'google_drive_authorization_code',
    'google_drive_client_secret', 'google_drive_refresh_token', 'google_gmail_client_secret',
    'google_spreadsheet_client_secret',
    'mail.google_translate_api_key', 'mail.sfu_server_key', 'mail.sfu_server_url',
    'mail.twilio_account_sid', 'mail.twilio_account_token', 'mail.web_push_vapid_private_key',
    'mail.web_push_vapid_public_key', 'mail_plugin.secret', 'microsoft_calendar_client_secret',
    'microsoft_outlook_client_secret', 'discuss.tenor_api_key', 'mail_mobile.enable_ocn', 'ocn.uuid', 'odoo_ocn.project_id',
    'recaptcha_private_key', 'sale_amazon.client_secret', 'social.facebook_client_secret', 'social.linkedin_client_secret',
    'social.twitter_consumer_secret_key', 'social.youtube_oauth_client_secret', 'unsplash.access_key',
    'whatsapp.secret', 'ai.openai_key', 'ai.google_key', 'openai.api_key');

-- name: Odoo's paid services
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: every call to a paid service goes to this address
INSERT INTO public.ir_config_parameter (key, value) VALUES ('iap.endpoint', 'http://127.0.0.1:9')
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- name: websites' addresses
-- needs: website.domain
-- why: the copy's pages would send visitors to production
UPDATE public.website SET domain = NULL WHERE domain IS NOT NULL;

-- name: websites' keys
-- each: website google_analytics_key google_search_console google_maps_api_key plausible_shared_key plausible_site cdn_url
-- why: visits to the copy would be counted as production's
UPDATE public.website SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: websites' delivery network
-- needs: website.cdn_activated
-- why: the copy's pages would be served from production's network
UPDATE public.website SET cdn_activated = false WHERE cdn_activated IS NOT false;

-- name: log-in through others
-- needs: auth_oauth_provider.enabled
-- why: a log-in for the copy would be one for production
UPDATE public.auth_oauth_provider SET enabled = false WHERE enabled IS NOT false;

-- name: log-in through others: secrets
-- each: auth_oauth_provider client_secret
-- why: with it one can act as the company's Odoo with the provider
UPDATE public.auth_oauth_provider SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: log-in tokens of users
-- each: res_users oauth_access_token
-- why: they open the user's account with the provider
UPDATE public.res_users SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: log-in through SAML
-- needs: auth_saml_provider.active
-- why: a log-in for the copy would be one for production
UPDATE public.auth_saml_provider SET active = false WHERE active IS NOT false;

-- name: log-in through LDAP
-- needs: res_company_ldap.ldap_server
-- why: the copy would try users' passwords on the company's directory
UPDATE public.res_company_ldap SET ldap_server = 'ldap.invalid' WHERE ldap_server IS DISTINCT FROM 'ldap.invalid';

-- name: directory log-ins
-- each: res_company_ldap ldap_binddn ldap_password
-- why: they open the company's directory
UPDATE public.res_company_ldap SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: calendars of users
-- each: res_users google_calendar_token google_calendar_rtoken google_calendar_sync_token microsoft_calendar_token microsoft_calendar_rtoken microsoft_calendar_sync_token
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.res_users SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: calendars of users (their settings)
-- each: res_users_settings google_calendar_token google_calendar_rtoken google_calendar_sync_token microsoft_calendar_sync_token microsoft_calendar_token microsoft_calendar_rtoken
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.res_users_settings SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: calendars of users (their credentials)
-- each: google_calendar_credentials calendar_token calendar_rtoken calendar_sync_token
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.google_calendar_credentials SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

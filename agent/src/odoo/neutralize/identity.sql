-- Who the copy is, and who may get in through others.
-- Left as they are on purpose: the passwords of users. They protect the copy as they protect
-- production; a copy that anyone can enter would be a leak. A drill that needs a log-in sets its own.

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

-- name: banner on the screen
-- needs: ir_ui_view.key ir_ui_view.active
-- why: people must see that this is not production
UPDATE public.ir_ui_view SET active = true
WHERE key IN ('web.neutralize_banner', 'website.neutralize_ribbon') AND active IS NOT true;

-- name: websites' addresses
-- needs: website.domain
-- why: the copy's pages would send visitors to production
UPDATE public.website SET domain = NULL WHERE domain IS NOT NULL;

-- name: websites' keys
-- each: website google_analytics_key google_search_console google_maps_api_key google_places_api_key plausible_shared_key plausible_site twitter_api_key twitter_api_secret website_slide_google_app_key cdn_url
-- why: visits to the copy would be counted as production's
UPDATE public.website SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: websites' delivery network
-- needs: website.cdn_activated
-- why: the copy's pages would be served from production's network
UPDATE public.website SET cdn_activated = false WHERE cdn_activated IS NOT false;

-- name: search engines
-- needs: website.robots_txt
-- why: a copy that is found by search engines takes visitors from production
UPDATE public.website SET robots_txt = E'User-agent: *\nDisallow: /' WHERE robots_txt IS DISTINCT FROM E'User-agent: *\nDisallow: /';

-- name: log-in through others
-- needs: auth_oauth_provider.enabled
-- why: a log-in for the copy would be one for production
UPDATE public.auth_oauth_provider SET enabled = false WHERE enabled IS NOT false;

-- name: log-in through others: secrets
-- each: auth_oauth_provider client_secret
-- why: with it one can act as the company's Odoo with the provider
UPDATE public.auth_oauth_provider SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: log-in tokens of users
-- each: res_users oauth_access_token google_gmail_access_token google_gmail_refresh_token microsoft_outlook_access_token microsoft_outlook_refresh_token
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

-- name: calendars of users (credentials for Microsoft)
-- each: microsoft_calendar_credentials calendar_sync_token last_sync_date
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.microsoft_calendar_credentials SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: last run of the calendars
-- each: res_users_settings microsoft_last_sync_date
-- why: the next run would take production's changes for the copy's
UPDATE public.res_users_settings SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: calendars stopped
-- each: res_users_settings google_synchronization_stopped microsoft_synchronization_stopped
-- type: bool
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.res_users_settings SET {column} = true WHERE {column} IS NOT true;

-- name: calendars stopped (Google)
-- each: google_calendar_credentials synchronization_stopped
-- type: bool
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.google_calendar_credentials SET {column} = true WHERE {column} IS NOT true;

-- name: calendars stopped (Microsoft)
-- each: microsoft_calendar_credentials synchronization_stopped
-- type: bool
-- why: an event changed in the copy would be changed in the user's calendar
UPDATE public.microsoft_calendar_credentials SET {column} = true WHERE {column} IS NOT true;

-- name: API keys of users
-- needs: res_users_apikeys.key
-- why: a program that reaches the copy by mistake would take it for production
DELETE FROM public.res_users_apikeys;

-- name: second factors of users
-- each: res_users totp_secret
-- why: with them the codes of production can be computed; passwords go on protecting the copy
UPDATE public.res_users SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: trusted devices of users
-- needs: auth_totp_device.key
-- why: they stand in for a second factor
DELETE FROM public.auth_totp_device;

-- name: second factor by mail
-- needs: ir_config_parameter.key
-- why: the code would never arrive, so nobody could log in
DELETE FROM public.ir_config_parameter WHERE key = 'auth_totp.policy';

-- name: mark of a neutralized copy
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: Odoo 16 and newer show it and act upon it
INSERT INTO public.ir_config_parameter (key, value) VALUES ('database.is_neutralized', 'True')
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

-- What would reach people: mail, text messages, letters, chats, notifications.
-- The format of these files is described in catalogue.rs.

-- name: outgoing mail servers
-- needs: ir_mail_server.active ir_mail_server.smtp_host
-- why: the copy would send mail in the company's name
UPDATE public.ir_mail_server SET active = false, smtp_host = 'mail.invalid'
WHERE active IS NOT false OR smtp_host IS DISTINCT FROM 'mail.invalid';

-- name: outgoing mail log-ins
-- each: ir_mail_server smtp_user smtp_pass smtp_ssl_certificate smtp_ssl_private_key google_gmail_authorization_code google_gmail_refresh_token google_gmail_access_token microsoft_outlook_authorization_code microsoft_outlook_refresh_token microsoft_outlook_access_token server_env_defaults
-- why: whoever can read the copy could send mail with them
UPDATE public.ir_mail_server SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: mail server that leads nowhere
-- needs: ir_mail_server.name ir_mail_server.smtp_host ir_mail_server.smtp_port ir_mail_server.smtp_encryption ir_mail_server.sequence ir_mail_server.active ir_mail_server.smtp_authentication
-- why: without any active server Odoo falls back to the one in odoo.conf, or to localhost
INSERT INTO public.ir_mail_server (name, smtp_host, smtp_port, smtp_encryption, smtp_authentication, sequence, active)
VALUES ('Neutralized copy: no mail leaves', 'mail.invalid', 9, 'none', 'login', 0, true);

-- name: mail server that leads nowhere (Odoo 14 and older)
-- needs: ir_mail_server.name ir_mail_server.smtp_host ir_mail_server.smtp_port ir_mail_server.smtp_encryption ir_mail_server.sequence ir_mail_server.active
-- lacks: ir_mail_server.smtp_authentication
-- why: without any active server Odoo falls back to the one in odoo.conf, or to localhost
INSERT INTO public.ir_mail_server (name, smtp_host, smtp_port, smtp_encryption, sequence, active)
VALUES ('Neutralized copy: no mail leaves', 'mail.invalid', 9, 'none', 0, true);

-- name: templates tied to a mail server
-- needs: mail_template.mail_server_id
-- why: a server named by a template is used even when it is switched off
UPDATE public.mail_template SET mail_server_id = NULL WHERE mail_server_id IS NOT NULL;

-- name: incoming mail servers
-- needs: fetchmail_server.active
-- why: the copy would fetch, and delete, mail that production waits for
UPDATE public.fetchmail_server SET active = false WHERE active IS NOT false;

-- name: state of incoming mail servers
-- needs: fetchmail_server.state
-- why: the copy would fetch, and delete, mail that production waits for
UPDATE public.fetchmail_server SET state = 'draft' WHERE state IS DISTINCT FROM 'draft';

-- name: incoming mail log-ins
-- each: fetchmail_server server user password google_gmail_authorization_code google_gmail_refresh_token google_gmail_access_token microsoft_outlook_authorization_code microsoft_outlook_refresh_token microsoft_outlook_access_token server_env_defaults
-- why: whoever can read the copy could read the company's mail with them
UPDATE public.fetchmail_server SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: queued mail
-- needs: mail_mail.state
-- why: it would go out as soon as a queue runs
UPDATE public.mail_mail SET state = 'cancel' WHERE state = 'outgoing';

-- name: mass mailings
-- needs: mailing_mailing.state
-- why: those in the queue would be sent
UPDATE public.mailing_mailing SET state = 'draft' WHERE state IN ('in_queue', 'sending');

-- name: marketing campaigns
-- needs: marketing_campaign.state
-- why: their activities would be carried out
UPDATE public.marketing_campaign SET state = 'stopped' WHERE state = 'running';

-- name: queued text messages
-- needs: sms_sms.state
-- why: they would be sent and charged
UPDATE public.sms_sms SET state = 'canceled' WHERE state IN ('outgoing', 'process');

-- name: text messages of the companies
-- each: res_company sms_twilio_account_sid sms_twilio_auth_token sms_twilio_to_number
-- why: the copy would send text messages through the company's account
UPDATE public.res_company SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: queued letters
-- needs: snailmail_letter.state
-- why: they would be printed, posted and charged
UPDATE public.snailmail_letter SET state = 'canceled' WHERE state IN ('pending', 'error');

-- name: WhatsApp accounts
-- needs: whatsapp_account.active
-- why: the copy would write to customers
UPDATE public.whatsapp_account SET active = false WHERE active IS NOT false;

-- name: WhatsApp log-ins
-- each: whatsapp_account token app_secret app_uid account_uid phone_uid webhook_verify_token
-- type: text
-- why: with them the company's account is open
UPDATE public.whatsapp_account SET {column} = 'neutralized-' || id WHERE {column} NOT LIKE 'neutralized-%';

-- name: queued WhatsApp messages
-- needs: whatsapp_message.state
-- why: they would be sent
UPDATE public.whatsapp_message SET state = 'cancel' WHERE state IN ('outgoing', 'error');

-- name: social media accounts
-- each: social_account facebook_access_token instagram_access_token linkedin_access_token twitter_oauth_token twitter_oauth_token_secret youtube_access_token youtube_refresh_token
-- why: the copy would post in the company's name
UPDATE public.social_account SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: scheduled social posts
-- needs: social_post.state
-- why: they would be published
UPDATE public.social_post SET state = 'draft' WHERE state IN ('scheduled', 'posting');

-- name: browsers that get notifications (Odoo 16 and 17)
-- needs: mail_partner_device.endpoint mail_notification_web_push.user_device
-- why: users would be notified of things that happen in the copy
WITH queue AS (DELETE FROM public.mail_notification_web_push) DELETE FROM public.mail_partner_device;

-- name: notifications in the queue
-- needs: mail_push.id
-- why: they would go to users' browsers and telephones
DELETE FROM public.mail_push;

-- name: browsers that get notifications
-- needs: mail_push_device.endpoint
-- why: users would be notified of things that happen in the copy
DELETE FROM public.mail_push_device;

-- name: telephones that get notifications
-- each: res_partner ocn_token
-- why: users would be notified of things that happen in the copy
UPDATE public.res_partner SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: call relays
-- needs: mail_ice_server.credential
-- why: the log-in of a relay is a credential of the company
UPDATE public.mail_ice_server SET credential = NULL WHERE credential IS NOT NULL;

-- name: telephone systems
-- each: voip_provider ws_server pbx_ip
-- why: a call from the copy would reach a customer
UPDATE public.voip_provider SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: telephone log-ins
-- each: res_users_settings voip_username voip_secret
-- why: a call from the copy would reach a customer
UPDATE public.res_users_settings SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

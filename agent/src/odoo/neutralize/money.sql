-- What would move money or goods.

-- name: payment providers
-- needs: payment_provider.state
-- why: a customer's card would be charged from the copy
UPDATE public.payment_provider SET state = 'disabled' WHERE state <> 'disabled';

-- name: published payment providers
-- needs: payment_provider.is_published
-- why: the copy's shop would offer them
UPDATE public.payment_provider SET is_published = false WHERE is_published;

-- name: payment provider keys
-- each: payment_provider adyen_merchant_account adyen_api_key adyen_client_key adyen_hmac_key adyen_checkout_api_url adyen_recurring_api_url alipay_merchant_partner_id alipay_md5_signature_key alipay_seller_email aps_merchant_identifier aps_access_code aps_sha_request aps_sha_response asiapay_merchant_id asiapay_secure_hash_secret asiapay_secure_hash_function authorize_login authorize_transaction_key authorize_signature_key authorize_client_key buckaroo_website_key buckaroo_secret_key dpo_company_token dpo_service_ref ecpay_merchant_id ecpay_hash_key ecpay_hash_iv flutterwave_public_key flutterwave_secret_key flutterwave_webhook_secret iyzico_key_id iyzico_key_secret mercado_pago_access_token mercado_pago_public_key mercado_pago_refresh_token mollie_api_key nuvei_merchant_identifier nuvei_site_identifier nuvei_secret_key ogone_pspid ogone_userid ogone_password ogone_shakey_in ogone_shakey_out paymob_api_key paymob_hmac_key paymob_public_key paymob_secret_key paypal_email_account paypal_seller_account paypal_pdt_token paypal_client_id paypal_client_secret paypal_access_token paypal_webhook_id payulatam_merchant_id payulatam_account_id payulatam_api_key payumoney_merchant_key payumoney_merchant_salt razorpay_key_id razorpay_key_secret razorpay_webhook_secret razorpay_account_id razorpay_refresh_token razorpay_access_token razorpay_access_token_expiry razorpay_public_token redsys_merchant_code redsys_merchant_terminal redsys_secret_key sips_merchant_id sips_secret stripe_publishable_key stripe_secret_key stripe_webhook_secret toss_payments_client_key toss_payments_secret_key worldline_pspid worldline_api_key worldline_api_secret worldline_webhook_key worldline_webhook_secret xendit_public_key xendit_secret_key xendit_webhook_token server_env_defaults
-- why: whoever can read the copy could charge or refund with them
UPDATE public.payment_provider SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: payment acquirers (Odoo 15 and older)
-- needs: payment_acquirer.state
-- why: a customer's card would be charged from the copy
UPDATE public.payment_acquirer SET state = 'disabled' WHERE state <> 'disabled';

-- name: payment acquirer keys (Odoo 15 and older)
-- each: payment_acquirer adyen_api_key adyen_client_key adyen_hmac_key adyen_skin_hmac_key alipay_md5_signature_key authorize_login authorize_transaction_key authorize_signature_key authorize_client_key buckaroo_websitekey buckaroo_secretkey buckaroo_secret_key mollie_api_key odoo_adyen_account_id ogone_userid ogone_password ogone_shakey_in ogone_shakey_out paypal_api_username paypal_api_password paypal_api_access_token paypal_pdt_token paypal_seller_account payulatam_api_key payumoney_merchant_key payumoney_merchant_salt sips_secret stripe_publishable_key stripe_secret_key stripe_webhook_secret
-- why: whoever can read the copy could charge or refund with them
UPDATE public.payment_acquirer SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: saved cards
-- needs: payment_token.active
-- why: they stand for a customer's card at the provider
UPDATE public.payment_token SET active = false WHERE active IS NOT false;

-- name: payment terminals
-- needs: pos_payment_method.use_payment_terminal
-- why: a sale in the copy would start a terminal in a shop
UPDATE public.pos_payment_method SET use_payment_terminal = NULL WHERE use_payment_terminal IS NOT NULL;

-- name: payment terminal keys
-- each: pos_payment_method adyen_api_key adyen_terminal_identifier adyen_merchant_account adyen_event_url mp_bearer_token mp_webhook_secret_key mp_id_point_smart paytm_mid paytm_merchant_key paytm_tid razorpay_username razorpay_api_key razorpay_tid six_terminal_ip stripe_serial_number viva_wallet_merchant_id viva_wallet_api_key viva_wallet_client_id viva_wallet_client_secret viva_wallet_terminal_id vantiv_id ingenico_payment_terminal_id worldline_terminal_id pine_labs_merchant pine_labs_store pine_labs_client pine_labs_security_token qfpay_access_key qfpay_pos_key qfpay_notification_key qfpay_terminal_ip_address dpopay_client_id dpopay_client_secret dpopay_bearer_token dpopay_mid dpopay_tid glory_websocket_address glory_username glory_password viva_wallet_bearer_token viva_wallet_webhook_verification_key viva_com_merchant_id viva_com_api_key viva_com_client_id viva_com_client_secret viva_com_terminal_id viva_com_bearer_token viva_com_webhook_verification_key
-- why: a sale in the copy would start a terminal in a shop
UPDATE public.pos_payment_method SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: test mode of payment terminals
-- each: pos_payment_method adyen_test_mode dpopay_test_mode paytm_test_mode pine_labs_test_mode razorpay_test_mode viva_wallet_test_mode viva_com_test_mode
-- type: bool
-- why: a sale in the copy would start a terminal in a shop
UPDATE public.pos_payment_method SET {column} = true WHERE {column} IS NOT true;

-- name: card readers (Vantiv)
-- each: pos_mercury_configuration merchant_id merchant_pwd
-- why: a sale in the copy would charge a card
UPDATE public.pos_mercury_configuration SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: IoT boxes
-- each: iot_box ip
-- why: the copy would print, weigh or take payments on devices of a shop
UPDATE public.iot_box SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: receipt printers of points of sale
-- each: pos_config epson_printer_ip proxy_ip
-- why: a sale in the copy would print in a shop
UPDATE public.pos_config SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: kitchen printers
-- each: pos_printer epson_printer_ip proxy_ip
-- why: an order in the copy would print in a kitchen
UPDATE public.pos_printer SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: delivery carriers
-- needs: delivery_carrier.prod_environment
-- why: a delivery validated in the copy would order a parcel
UPDATE public.delivery_carrier SET prod_environment = false WHERE prod_environment IS NOT false;

-- name: carriers of other companies
-- needs: delivery_carrier.active delivery_carrier.delivery_type
-- why: a delivery validated in the copy would order a parcel; Odoo's own price rules stay
UPDATE public.delivery_carrier SET active = false
WHERE active IS NOT false AND delivery_type NOT IN ('fixed', 'base_on_rule');

-- name: Mondial Relay
-- needs: delivery_carrier.mondialrelay_brand
-- why: a delivery validated in the copy would order a parcel (this is its brand for tests, with two spaces)
UPDATE public.delivery_carrier SET mondialrelay_brand = 'BDTEST  ' WHERE mondialrelay_brand IS DISTINCT FROM 'BDTEST  ';

-- name: delivery carrier keys
-- each: delivery_carrier bpost_account_number bpost_developer_password dhl_SiteID dhl_password dhl_account_number dhl_api_key dhl_api_secret easypost_production_api_key easypost_test_api_key envia_production_api_key envia_sandbox_api_key fedex_developer_key fedex_developer_password fedex_account_number fedex_meter_number fedex_rest_developer_key fedex_rest_developer_password fedex_rest_access_token fedex_rest_account_number sendcloud_public_key sendcloud_secret_key shiprocket_email shiprocket_password shiprocket_access_token starshipit_api_key starshipit_subscription_key ups_username ups_passwd ups_access_number ups_shipper_number ups_client_id ups_client_secret ups_access_token usps_username server_env_defaults
-- why: with them parcels can be ordered at the company's cost
UPDATE public.delivery_carrier SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: bank synchronisation
-- each: account_online_link client_id refresh_token access_token provider_data
-- why: the copy would fetch statements with, and use up, production's consent
UPDATE public.account_online_link SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: bank connections
-- needs: account_online_link.state
-- why: the copy would renew production's consent
UPDATE public.account_online_link SET state = 'disconnected' WHERE state IS DISTINCT FROM 'disconnected';

-- name: automatic bank synchronisation
-- needs: account_online_link.auto_sync
-- why: the copy would fetch statements on its own
UPDATE public.account_online_link SET auto_sync = false WHERE auto_sync IS NOT false;

-- name: marketplaces
-- needs: amazon_account.active
-- why: the copy would fetch orders and tell stock levels to the marketplace
UPDATE public.amazon_account SET active = false WHERE active IS NOT false;

-- name: marketplace keys
-- each: amazon_account refresh_token access_token restricted_data_token aws_access_key aws_secret_key session_token
-- why: the copy would fetch orders and tell stock levels to the marketplace
UPDATE public.amazon_account SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: tax services
-- each: res_company avalara_api_id avalara_api_key avalara_partner_code taxcloud_api_id taxcloud_api_key l10n_br_avatax_api_identifier l10n_br_avatax_api_key plaid_client_id plaid_secret
-- why: a document of the copy would be recorded at the tax service
UPDATE public.res_company SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: paid services
-- needs: iap_account.account_token
-- why: the copy would use up the company's credit (the column holds 43 characters)
UPDATE public.iap_account SET account_token = left('neutralized-' || replace(gen_random_uuid()::text, '-', ''), 43) WHERE account_token NOT LIKE 'neutralized-%';

-- name: prints on demand
-- each: res_company gelato_api_key gelato_webhook_secret
-- why: an order of the copy would be printed and charged
UPDATE public.res_company SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- What would report to authorities and partners.

-- name: users of the exchange of electronic documents
-- needs: account_edi_proxy_client_user.active
-- why: an invoice of the copy would be sent to the tax authority or the customer; switched off first, because one company may have a user for each mode but not two for one
UPDATE public.account_edi_proxy_client_user SET active = false WHERE active IS NOT false;

-- name: exchange of electronic documents
-- needs: account_edi_proxy_client_user.edi_mode
-- why: an invoice of the copy would be sent to the tax authority or the customer; in this mode Odoo refuses to call anybody
UPDATE public.account_edi_proxy_client_user SET edi_mode = 'demo' WHERE edi_mode IS DISTINCT FROM 'demo';

-- name: keys for the exchange of electronic documents
-- each: account_edi_proxy_client_user refresh_token
-- why: with them invoices can be sent in the company's name, and a refresh by the copy locks production out
UPDATE public.account_edi_proxy_client_user SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: private keys for the exchange of electronic documents
-- each: account_edi_proxy_client_user private_key
-- why: with them the company's electronic documents can be read
UPDATE public.account_edi_proxy_client_user SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: electronic documents in the queue
-- needs: account_edi_document.state
-- why: they would be sent as soon as a queue runs
UPDATE public.account_edi_document SET state = 'cancelled' WHERE state IN ('to_send', 'to_cancel');

-- name: test mode with tax authorities
-- each: res_company l10n_es_sii_test_env l10n_es_tbai_test_env l10n_es_edi_test_env l10n_es_edi_verifactu_test_environment l10n_in_edi_test l10n_mx_edi_pac_test_env l10n_pl_edi_access_test l10n_id_test l10n_uy_edi_test l10n_jo_edi_demo_mode l10n_pe_edi_test_env l10n_co_edi_test_mode l10n_gr_edi_test_env l10n_ro_edi_test_env l10n_rs_edi_demo_env l10n_tr_nilvera_use_test_env l10n_tw_edi_ecpay_staging_mode
-- type: bool
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET {column} = true WHERE {column} IS NOT true;

-- name: production mode with tax authorities
-- each: res_company l10n_in_edi_production_env l10n_eg_production_env l10n_ec_production_env l10n_it_edi_register
-- type: bool
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET {column} = false WHERE {column} IS NOT false;

-- name: log-ins with tax authorities
-- each: res_company l10n_mx_edi_pac_username l10n_mx_edi_pac_password l10n_in_edi_username l10n_in_edi_password l10n_in_edi_token l10n_in_edi_token_validity l10n_in_edi_ewaybill_username l10n_in_edi_ewaybill_password l10n_in_edi_ewaybill_auth_token l10n_in_edi_ewaybill_auth_validity l10n_in_ewaybill_username l10n_in_ewaybill_password l10n_in_ewaybill_auth_validity l10n_in_gstr_gst_username l10n_in_gstr_gst_token l10n_co_edi_username l10n_co_edi_password l10n_pe_edi_provider_username l10n_pe_edi_provider_password l10n_eg_client_identifier l10n_eg_client_secret l10n_gr_edi_aade_id l10n_gr_edi_aade_key l10n_hr_mer_username l10n_hr_mer_password l10n_hr_mer_company_ident l10n_hr_mer_software_ident l10n_hu_edi_username l10n_hu_edi_password l10n_hu_edi_signature_key l10n_hu_edi_replacement_key l10n_jo_edi_client_identifier l10n_jo_edi_secret_key l10n_ke_cu_proxy_address l10n_pl_edi_certificate l10n_pl_edi_access_token l10n_pl_edi_refresh_token l10n_pl_edi_session_id l10n_pl_edi_session_key l10n_pl_edi_session_iv l10n_ro_edi_client_id l10n_ro_edi_client_secret l10n_ro_edi_access_token l10n_ro_edi_refresh_token l10n_rs_edi_api_key l10n_sa_private_key l10n_tr_nilvera_api_key l10n_tr_nilvera_purchase_journal_id l10n_tw_edi_ecpay_merchant_id l10n_tw_edi_ecpay_hashkey l10n_tw_edi_ecpay_hashIV l10n_vn_edi_username l10n_vn_edi_password l10n_vn_edi_token l10n_uy_edi_ucfe_password l10n_uy_edi_ucfe_username l10n_ke_oscu_cmc_key account_peppol_migration_key
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: passwords of certificates
-- each: certificate_certificate pkcs12_password
-- why: they open the company's certificates for authorities
UPDATE public.certificate_certificate SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: passwords of private keys
-- each: certificate_key password
-- why: they open the company's keys for authorities
UPDATE public.certificate_key SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: passwords of Spanish certificates
-- each: l10n_es_edi_certificate password
-- why: they open the company's certificates for authorities
UPDATE public.l10n_es_edi_certificate SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: passwords of Spanish certificates (Facturae)
-- each: l10n_es_edi_facturae_certificate password
-- why: they open the company's certificates for authorities
UPDATE public.l10n_es_edi_facturae_certificate SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: Egyptian signing devices
-- each: l10n_eg_edi_thumb_drive access_token
-- why: with them documents are signed in the company's name
UPDATE public.l10n_eg_edi_thumb_drive SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: Indonesian payment codes
-- each: res_partner_bank l10n_id_qris_api_key l10n_id_qris_mid
-- why: a code printed by the copy would ask a customer for money
UPDATE public.res_partner_bank SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: Croatian connection
-- needs: res_company.l10n_hr_mer_connection_state
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_hr_mer_connection_state = 'inactive' WHERE l10n_hr_mer_connection_state IS DISTINCT FROM 'inactive';

-- name: Croatian mode
-- needs: res_company.l10n_hr_mer_connection_mode
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_hr_mer_connection_mode = 'test' WHERE l10n_hr_mer_connection_mode IS DISTINCT FROM 'test';

-- name: Hungarian authority
-- needs: res_company.l10n_hu_edi_server_mode
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_hu_edi_server_mode = 'test' WHERE l10n_hu_edi_server_mode = 'production';

-- name: Malaysian authority
-- needs: res_company.l10n_my_edi_mode
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_my_edi_mode = 'test' WHERE l10n_my_edi_mode IS DISTINCT FROM 'test';

-- name: Chilean authority
-- needs: res_company.l10n_cl_dte_service_provider
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_cl_dte_service_provider = 'SIITEST' WHERE l10n_cl_dte_service_provider = 'SII';

-- name: Argentine authority
-- needs: res_company.l10n_ar_afip_ws_environment
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_ar_afip_ws_environment = 'testing' WHERE l10n_ar_afip_ws_environment = 'production';

-- name: Saudi authority
-- needs: res_company.l10n_sa_api_mode
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_sa_api_mode = 'sandbox' WHERE l10n_sa_api_mode = 'prod';

-- name: Turkish authority
-- needs: res_company.l10n_tr_nilvera_environment
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET l10n_tr_nilvera_environment = 'sandbox' WHERE l10n_tr_nilvera_environment = 'production';

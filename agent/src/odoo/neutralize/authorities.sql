-- What would report to authorities and partners.

-- name: exchange of electronic documents
-- needs: account_edi_proxy_client_user.edi_mode
-- why: an invoice of the copy would be sent to the tax authority or the customer
UPDATE public.account_edi_proxy_client_user SET edi_mode = 'test' WHERE edi_mode IS DISTINCT FROM 'test';

-- name: keys for the exchange of electronic documents
-- each: account_edi_proxy_client_user refresh_token
-- why: with them invoices can be sent in the company's name, and a refresh by the copy locks production out
UPDATE public.account_edi_proxy_client_user SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: electronic documents in the queue
-- needs: account_edi_document.state
-- why: they would be sent as soon as a queue runs
UPDATE public.account_edi_document SET state = 'cancelled' WHERE state IN ('to_send', 'to_cancel');

-- name: test mode with tax authorities
-- each: res_company l10n_es_sii_test_env l10n_es_tbai_test_env l10n_es_edi_test_env l10n_es_edi_verifactu_test_environment l10n_in_edi_test l10n_mx_edi_pac_test_env l10n_pl_edi_access_test l10n_id_test l10n_uy_edi_test l10n_jo_edi_demo_mode l10n_pe_edi_test_env l10n_co_edi_test_mode
-- type: bool
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET {column} = true WHERE {column} IS NOT true;

-- name: production mode with tax authorities
-- each: res_company l10n_in_edi_production_env l10n_eg_production_env l10n_ec_production_env
-- type: bool
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET {column} = false WHERE {column} IS NOT false;

-- name: log-ins with tax authorities
-- each: res_company l10n_mx_edi_pac_username l10n_mx_edi_pac_password l10n_in_edi_username l10n_in_edi_password l10n_in_edi_token l10n_in_edi_ewaybill_username l10n_in_edi_ewaybill_password l10n_in_edi_ewaybill_auth_token l10n_in_gstr_gst_username l10n_in_gstr_gst_token l10n_co_edi_username l10n_co_edi_password l10n_pe_edi_provider_username l10n_pe_edi_provider_password l10n_pl_edi_access_token l10n_pl_edi_session_id l10n_tr_nilvera_api_key l10n_vn_edi_username l10n_vn_edi_password l10n_vn_edi_token l10n_uy_edi_ucfe_password l10n_uy_edi_ucfe_username l10n_ke_oscu_cmc_key
-- why: a document of the copy would be registered with the authority
UPDATE public.res_company SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

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

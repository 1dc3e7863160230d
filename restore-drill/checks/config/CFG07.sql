-- id: CFG07
-- area: config
-- severity: base
-- title: every currency of a document has a rate
-- versions: *
-- requires: account_move.company_id account_move.currency_id res_company.currency_id
--   res_currency.name res_currency_rate.currency_id
-- reason: Without any rate Odoo counts such a document one to one, in silence. Some companies start
--   so, hence only a difference to the source counts. Odoo: res.currency._get_rates falls back to
--   1.
SELECT DISTINCT 'company ' || c.id || ' ' || u.name
FROM account_move m
JOIN res_company c ON c.id = m.company_id
JOIN res_currency u ON u.id = m.currency_id
WHERE m.currency_id <> c.currency_id
  AND NOT EXISTS (SELECT 1 FROM res_currency_rate r WHERE r.currency_id IN (m.currency_id, c.currency_id))

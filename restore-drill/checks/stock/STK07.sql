-- id: STK07
-- area: stock
-- severity: base
-- title: the valued quantity of a product is its quantity on hand
-- versions: <=18
-- requires: product_product.product_tmpl_id product_template res_company.partner_id
--   stock_location.company_id stock_location.usage stock_quant.location_id stock_quant.owner_id
--   stock_quant.product_id stock_quant.quantity stock_valuation_layer.company_id
--   stock_valuation_layer.product_id stock_valuation_layer.quantity
-- reason: The balance sheet values stock by these layers. Stock that existed before valuation was
--   installed has none, so only a difference to the source counts. Odoo: stock.move._create_in_svl
--   and stock.move._create_out_svl of stock_account.
WITH v AS (SELECT product_id p, company_id c, sum(quantity) q FROM stock_valuation_layer GROUP BY 1, 2),
     k AS (
         SELECT q.product_id p, l.company_id c, sum(q.quantity) q
         FROM stock_quant q
         JOIN stock_location l ON l.id = q.location_id
         WHERE (l.usage = 'internal' OR (l.usage = 'transit' AND l.company_id IS NOT NULL))
           AND (
               q.owner_id IS NULL
                 OR q.owner_id = (SELECT partner_id FROM res_company rc WHERE rc.id = l.company_id)
           )
         GROUP BY 1, 2
     )
SELECT 'product ' || p || ' company ' || c || ' svl=' || coalesce(v.q, 0) || ' qty=' || coalesce(k.q, 0)
FROM v
FULL JOIN k USING (p, c)
JOIN pg_temp.storable_products() sp ON sp.product_id = p
WHERE c IS NOT NULL AND abs(coalesce(v.q, 0) - coalesce(k.q, 0)) > 0.001

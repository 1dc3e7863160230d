-- id: SAL12
-- area: sale
-- severity: base
-- title: fixed prices of pricelists are not zero
-- versions: *
-- requires: product_pricelist_item.compute_price product_pricelist_item.fixed_price
--   product_pricelist_item.pricelist_id
-- reason: A careless update gives everything away. Some goods are free on purpose, so only a
--   difference to the source counts. Odoo: product.pricelist.item._compute_price takes fixed_price
--   as it is.
SELECT 'pricelist ' || coalesce(pricelist_id::text, '-') || ' rule ' || id
FROM product_pricelist_item
WHERE compute_price = 'fixed' AND coalesce(fixed_price, 0) = 0

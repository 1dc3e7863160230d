-- id: SAL13
-- area: sale
-- severity: hard
-- title: what is sold has prices
-- versions: *
-- requires: product_template.active product_template.list_price product_template.sale_ok
-- reason: Where every one of ten or more products that are for sale costs nothing, the prices were
--   lost. Odoo: product.template.list_price begins at 1, so zero is never a default.
SELECT 'all ' || count(*) || ' products for sale have the price 0'
FROM product_template
WHERE sale_ok AND active
HAVING count(*) >= 10 AND bool_and(coalesce(list_price, 0) = 0)

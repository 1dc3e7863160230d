-- id: CFG03
-- area: config
-- severity: hard
-- title: every company that ships goods has a warehouse with its stock location
-- versions: *
-- requires: res_company.name stock_location stock_picking.company_id stock_warehouse.company_id
--   stock_warehouse.lot_stock_id
-- reason: Transfers of that company cannot find their stock. The warehouse or its location was
--   lost. Odoo: stock.warehouse.lot_stock_id is required, and res.company.create makes a warehouse.
SELECT c.name
FROM res_company c
WHERE EXISTS (SELECT 1 FROM stock_picking p WHERE p.company_id = c.id)
  AND NOT EXISTS (
      SELECT 1
      FROM stock_warehouse w
      JOIN stock_location l ON l.id = w.lot_stock_id
      WHERE w.company_id = c.id
  )

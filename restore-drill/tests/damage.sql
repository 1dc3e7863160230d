-- Damages for tests/checks_real.rs, at least one for each hard check: a header line `-- ID`, then the
-- statements.
-- Run with triggers off, as damage below SQL or a careless repair would be.
-- ACC01
UPDATE account_move_line SET debit = debit + 1, balance = balance + 1
WHERE id = (SELECT min(id) FROM account_move_line WHERE parent_state = 'posted' AND debit > 0);
-- ACC02
UPDATE account_move_line SET balance = balance + 1 WHERE id = (SELECT min(id) FROM account_move_line);
-- ACC03
UPDATE account_move_line SET parent_state = 'draft'
WHERE id = (SELECT min(id) FROM account_move_line WHERE parent_state = 'posted');
-- ACC04
DELETE FROM account_move_line WHERE move_id = (SELECT min(id) FROM account_move WHERE state = 'posted');
-- ACC05
UPDATE account_move SET name = '/' WHERE id = (SELECT min(id) FROM account_move WHERE state = 'posted');
-- ACC06
UPDATE account_move SET amount_tax = amount_tax + 1
WHERE id = (SELECT min(id) FROM account_move WHERE move_type = 'out_invoice');
-- ACC07
DELETE FROM account_move_line WHERE id = (
    SELECT min(l.id) FROM account_move_line l JOIN account_move m ON m.id = l.move_id
    WHERE m.move_type = 'out_invoice' AND m.state = 'posted' AND l.display_type = 'product' AND l.price_subtotal > 0
      AND (SELECT count(*) FROM account_move_line o WHERE o.move_id = m.id AND o.display_type = 'product') > 1);
-- ACC08
UPDATE account_move SET amount_total = amount_total + 1
WHERE id = (SELECT min(id) FROM account_move WHERE move_type = 'out_invoice' AND state = 'posted');
-- ACC09
UPDATE account_move SET amount_residual = amount_residual + 1
WHERE id = (SELECT min(id) FROM account_move WHERE move_type = 'out_invoice' AND state = 'posted');
-- ACC10
DELETE FROM account_partial_reconcile WHERE id = (SELECT max(id) FROM account_partial_reconcile WHERE amount > 1);
-- ACC11
UPDATE account_move_line SET amount_residual = 5
WHERE id = (SELECT min(id) FROM account_move_line WHERE full_reconcile_id IS NOT NULL);
-- ACC12
UPDATE account_partial_reconcile SET amount = amount + 1000000
WHERE id = (SELECT min(id) FROM account_partial_reconcile);
-- ACC13
UPDATE account_move SET payment_state = 'not_paid'
WHERE id = (SELECT min(id) FROM account_move
            WHERE payment_state = 'paid' AND move_type = 'out_invoice' AND amount_total > 1);
-- ACC14
DELETE FROM account_move_line
WHERE id = (SELECT max(id) FROM account_move_line WHERE parent_state = 'posted' AND balance <> 0);
-- ACC15
UPDATE account_move SET payment_id = NULL
WHERE id = (SELECT min(move_id) FROM account_payment);
-- ACC16
UPDATE account_move SET origin_payment_id = NULL WHERE id = (SELECT min(move_id) FROM account_payment);
-- ACC16
UPDATE account_payment SET amount = amount + 0.01
WHERE id = (SELECT min(id) FROM account_payment WHERE move_id IS NOT NULL);
-- ACC17
UPDATE account_move SET statement_line_id = NULL
WHERE id = (SELECT min(move_id) FROM account_bank_statement_line);
-- SAL01
DELETE FROM sale_order_line WHERE id = (SELECT max(id) FROM sale_order_line WHERE price_subtotal > 1);
-- SAL03
UPDATE sale_order_line SET price_tax = price_tax + 1
WHERE id = (SELECT min(id) FROM sale_order_line WHERE display_type IS NULL);
-- SAL05
UPDATE sale_order_line SET state = 'cancel' WHERE id = (SELECT min(id) FROM sale_order_line WHERE state = 'sale');
-- SAL07
UPDATE sale_order_line SET qty_invoiced = qty_invoiced + 1
WHERE id = (SELECT min(id) FROM sale_order_line WHERE display_type IS NULL AND state = 'sale');
-- SAL09
DELETE FROM sale_order_line WHERE order_id = (SELECT min(id) FROM sale_order WHERE amount_total > 0);
-- PUR01
DELETE FROM purchase_order_line WHERE id = (SELECT max(id) FROM purchase_order_line WHERE price_subtotal > 1);
-- PUR03
UPDATE purchase_order_line SET qty_invoiced = qty_invoiced + 1
WHERE id = (SELECT min(id) FROM purchase_order_line WHERE display_type IS NULL);
-- STK01
DELETE FROM stock_move_line WHERE id = (
    SELECT max(l.id) FROM stock_move_line l JOIN stock_location s ON s.id = l.location_id
    JOIN product_product p ON p.id = l.product_id JOIN product_template t ON t.id = p.product_tmpl_id
    WHERE l.state = 'done' AND s.usage = 'internal' AND l.quantity_product_uom > 0
      AND coalesce((to_jsonb(t)->>'is_storable')::bool, t.type = 'product'));
-- STK03
UPDATE stock_move_line SET quantity = quantity + 1
WHERE id = (SELECT min(l.id) FROM stock_move_line l JOIN stock_move m ON m.id = l.move_id
            WHERE m.state = 'done' AND l.product_uom_id = m.product_uom);
-- STK04
DELETE FROM stock_move_line
WHERE move_id = (SELECT max(id) FROM stock_move WHERE state = 'done' AND product_uom_qty > 0 AND quantity > 0);
-- STK05
UPDATE stock_move_line SET state = 'assigned'
WHERE id = (SELECT min(l.id) FROM stock_move_line l WHERE l.state = 'done' AND l.move_id IS NOT NULL);
-- STK06
UPDATE stock_picking SET state = 'assigned'
WHERE id = (SELECT min(p.id) FROM stock_picking p JOIN stock_move m ON m.picking_id = p.id WHERE p.state = 'done');
-- STK08
INSERT INTO stock_quant (product_id, location_id, lot_id, package_id, owner_id, company_id, quantity,
                         reserved_quantity, in_date)
SELECT product_id, location_id, lot_id, package_id, owner_id, company_id, quantity, reserved_quantity, in_date
FROM stock_quant ORDER BY id LIMIT 1;
-- POS01
DELETE FROM pos_payment WHERE id = (SELECT max(id) FROM pos_payment WHERE amount > 0);
-- POS03
DELETE FROM pos_order_line
WHERE order_id = (SELECT min(id) FROM pos_order WHERE state = 'done' AND amount_total > 0);
-- POS03
DELETE FROM pos_payment
WHERE pos_order_id = (SELECT min(id) FROM pos_order WHERE state IN ('paid', 'done') AND amount_total > 0);
-- POS05
UPDATE pos_order SET state = 'paid' WHERE id = (SELECT min(id) FROM pos_order WHERE state = 'done');
-- POS07
UPDATE pos_order SET account_move = NULL WHERE id = (SELECT min(id) FROM pos_order WHERE state = 'invoiced');
-- POS08
UPDATE pos_payment SET session_id = session_id + 1 WHERE id = (SELECT min(id) FROM pos_payment);
-- POS09
UPDATE pos_session SET state = 'opened'
WHERE config_id = (SELECT config_id FROM pos_session GROUP BY 1 HAVING count(*) > 1 LIMIT 1);
-- ATT01
UPDATE ir_attachment SET checksum = NULL
WHERE id = (SELECT min(id) FROM ir_attachment WHERE store_fname IS NOT NULL);
-- ATT02
UPDATE ir_attachment SET store_fname = NULL
WHERE id = (SELECT min(id) FROM ir_attachment WHERE store_fname IS NOT NULL AND file_size > 0 AND type = 'binary');
-- ATT03
UPDATE ir_attachment SET file_size = file_size + 1
WHERE id = (SELECT min(a.id) FROM ir_attachment a JOIN ir_attachment b ON b.store_fname = a.store_fname AND b.id > a.id);
-- ATT04
UPDATE ir_attachment SET store_fname = NULL, db_datas = 'cut', file_size = 5
WHERE id = (SELECT min(id) FROM ir_attachment WHERE store_fname IS NOT NULL);
-- SEQ01
DO $$ BEGIN EXECUTE (SELECT format('DROP SEQUENCE public.ir_sequence_%s', lpad(min(id)::text, 3, '0'))
                     FROM ir_sequence WHERE implementation = 'standard'); END $$;
-- SEQ02
DO $$ BEGIN EXECUTE (SELECT format('ALTER SEQUENCE public.ir_sequence_%s RESTART 1', lpad(id::text, 3, '0'))
                     FROM ir_sequence WHERE code = 'sale.order' AND active ORDER BY company_id NULLS FIRST LIMIT 1); END $$;
-- SEQ03
DO $$ BEGIN EXECUTE (SELECT format('ALTER SEQUENCE public.ir_sequence_%s RESTART 1', lpad(id::text, 3, '0'))
                     FROM ir_sequence WHERE code = 'purchase.order' AND active ORDER BY company_id NULLS FIRST LIMIT 1); END $$;
-- SEQ04
DO $$ BEGIN EXECUTE (SELECT format('ALTER SEQUENCE public.ir_sequence_%s RESTART 1', lpad(t.sequence_id::text, 3, '0'))
                     FROM stock_picking_type t JOIN stock_picking p ON p.picking_type_id = t.id
                     GROUP BY t.id ORDER BY count(*) DESC LIMIT 1); END $$;
-- SEQ05
ALTER SEQUENCE sale_order_id_seq RESTART 1;
-- REF01
DELETE FROM res_partner WHERE id = (SELECT max(partner_id) FROM sale_order);
-- REF02
UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'sale_order_pkey'::regclass;
-- REF03
DELETE FROM ir_model_data WHERE module = 'base' AND name = 'autovacuum_job';
-- REF05
DELETE FROM ir_model_data WHERE module = 'base' AND name = 'module_sale';
-- MOD01
UPDATE ir_module_module SET state = 'to upgrade' WHERE name = 'sale';
-- MOD02
UPDATE ir_module_module SET state = 'uninstalled' WHERE name = 'account';
-- MOD03
UPDATE ir_module_module SET latest_version = '16.0.1.2' WHERE name = 'sale';
-- MOD04
ALTER TABLE sale_order DROP COLUMN note CASCADE;
-- CFG01
DELETE FROM ir_config_parameter WHERE key = 'database.secret';
-- CFG02
UPDATE res_users SET active = FALSE;
-- CFG03
DELETE FROM stock_warehouse;
-- CFG04
UPDATE res_users SET password = '';
-- CFG05
UPDATE res_users SET password = NULL WHERE login = 'admin';
-- CFG06
DELETE FROM res_groups_users_rel
WHERE gid = (SELECT res_id FROM ir_model_data WHERE module = 'base' AND name = 'group_system');
-- CFG07
DELETE FROM res_currency_rate;
INSERT INTO res_currency (name, symbol, rounding, active) VALUES ('XTS', 'T', 0.01, TRUE);
UPDATE account_move SET currency_id = (SELECT id FROM res_currency WHERE name = 'XTS')
WHERE id = (SELECT min(id) FROM account_move);
-- SAL02
UPDATE sale_order SET amount_tax = amount_tax + 0.01, amount_total = amount_total + 0.01
WHERE id = (SELECT min(order_id) FROM sale_order_line WHERE price_tax > 0);
-- SAL02
UPDATE sale_order_line SET price_tax = price_tax + 0.01, price_total = price_total + 0.01
WHERE id = (SELECT min(id) FROM sale_order_line WHERE price_tax > 0);
-- PUR05
UPDATE purchase_order SET amount_tax = amount_tax + 0.01, amount_total = amount_total + 0.01
WHERE id = (SELECT min(order_id) FROM purchase_order_line WHERE price_total > 0);
-- SAL01
UPDATE sale_order SET amount_untaxed = amount_untaxed + 0.01, amount_total = amount_total + 0.01
WHERE id = (SELECT min(order_id) FROM sale_order_line WHERE price_subtotal > 0);
-- PUR01
UPDATE purchase_order_line SET price_subtotal = price_subtotal - 0.01, price_total = price_total - 0.01
WHERE id = (SELECT min(id) FROM purchase_order_line WHERE price_subtotal > 0);
-- ACC07
UPDATE account_move SET amount_tax = amount_tax + 0.01, amount_total = amount_total + 0.01
WHERE id = (SELECT min(id) FROM account_move WHERE move_type = 'in_invoice' AND state = 'posted');
-- ACC15
UPDATE account_payment SET amount = amount + 0.01 WHERE id = (SELECT min(id) FROM account_payment);
-- ACC23
UPDATE account_move_line SET price_subtotal = price_subtotal + 0.01
WHERE id = (SELECT min(l.id) FROM account_move_line l JOIN account_move m ON m.id = l.move_id
            WHERE m.move_type = 'out_invoice' AND m.state = 'posted'
              AND l.display_type = 'product' AND l.price_subtotal > 0);
-- ACC24
-- The tax of a posted invoice a cent higher, in every place that has it.
UPDATE account_move_line l SET credit = credit + 0.01, balance = balance - 0.01,
    amount_currency = amount_currency - 0.01
WHERE id = (SELECT min(t.id) FROM account_move_line t JOIN account_move m ON m.id = t.move_id
            WHERE m.move_type = 'out_invoice' AND m.state = 'posted' AND t.display_type = 'tax' AND t.credit > 0);
-- SAL12
INSERT INTO product_pricelist_item
SELECT * FROM jsonb_populate_record(NULL::product_pricelist_item, jsonb_build_object(
    'id', nextval('product_pricelist_item_id_seq'), 'pricelist_id', 1, 'applied_on', '3_global',
    'display_applied_on', '1_product', 'base', 'list_price', 'compute_price', 'fixed', 'fixed_price', 0));
-- SAL13
UPDATE product_template SET list_price = 0;
-- POS04
UPDATE pos_order_line SET price_subtotal_incl = price_subtotal_incl + 0.01
WHERE id = (SELECT min(id) FROM pos_order_line);
-- POS13
-- The order once more, as a second synchronization would store it.
INSERT INTO pos_order (name, company_id, session_id, state, date_order, amount_tax, amount_total, amount_paid,
                       amount_return, pos_reference)
SELECT name || ' again', company_id, session_id, state, date_order, amount_tax, amount_total, amount_paid,
       amount_return, pos_reference
FROM pos_order ORDER BY id LIMIT 1;
-- POS13
UPDATE pos_order SET access_token = (SELECT access_token FROM pos_order WHERE access_token <> '' ORDER BY id LIMIT 1)
WHERE id = (SELECT id FROM pos_order WHERE access_token <> '' ORDER BY id OFFSET 1 LIMIT 1);
-- ATT05
UPDATE ir_attachment SET res_model = 'sale.order', res_id = 99999999 WHERE id = (SELECT max(id) FROM ir_attachment);
-- SEQ06
ALTER SEQUENCE sale_order_id_seq OWNED BY NONE;
-- SEQ06
ALTER TABLE pos_order ALTER COLUMN id DROP DEFAULT;
-- MOD05
UPDATE ir_ui_view SET arch_db = '{"en_US": "<t t-name=\"web.external_layout\"/>"}'
WHERE id = (SELECT res_id FROM ir_model_data WHERE module = 'web' AND name = 'external_layout');
-- MOD05
UPDATE ir_ui_view SET arch_db = NULL
WHERE id = (SELECT res_id FROM ir_model_data WHERE module = 'web' AND name = 'report_layout');
-- MOD06
UPDATE ir_ui_view SET arch_db = '{"en_US": ""}'
WHERE id = (SELECT min(d.res_id) FROM ir_model_data d JOIN ir_ui_view v ON v.id = d.res_id
            WHERE d.model = 'ir.ui.view' AND d.module = 'sale' AND v.inherit_id IS NULL);
-- MOD07
DELETE FROM ir_rule WHERE id = (SELECT min(res_id) FROM ir_model_data WHERE model = 'ir.rule' AND module = 'sale');
-- MOD07
DELETE FROM ir_model_access WHERE model_id = (SELECT id FROM ir_model WHERE model = 'sale.order');
-- MOD08
UPDATE ir_rule SET active = FALSE WHERE id = (SELECT min(id) FROM ir_rule WHERE active);
-- MOD08
DELETE FROM ir_model_access WHERE model_id = (SELECT id FROM ir_model WHERE model = 'sale.order');
DELETE FROM ir_model_data WHERE model = 'ir.model.access' AND res_id NOT IN (SELECT id FROM ir_model_access);

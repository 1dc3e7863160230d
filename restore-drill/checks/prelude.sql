-- Helper functions of the checks, made once in the session that runs them. Temporary objects only:
-- they leave with the session and nothing of them is written to the database's own schemas.
-- Each reads the catalogue to find what exists, so that a check holds on several Odoo series.

-- The PostgreSQL sequence behind an ir_sequence row, or behind one of its date ranges. Odoo writes
-- "%03d": at least three digits, and more from 1000 on.
CREATE FUNCTION pg_temp.sequence_name(sequence_id bigint, range_id bigint DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE AS $f$
    SELECT 'ir_sequence_' || lpad(sequence_id::text, greatest(3, length(sequence_id::text)), '0')
        || coalesce('_' || lpad(range_id::text, greatest(3, length(range_id::text)), '0'), '')
$f$;

-- The number that a PostgreSQL sequence gives out next.
CREATE FUNCTION pg_temp.sequence_next(sequence_name text) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
    next_value bigint;
BEGIN
    EXECUTE format('SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM public.%I', sequence_name)
    INTO next_value;
    RETURN next_value;
END $f$;

-- Whether public.TABLE has this column.
CREATE FUNCTION pg_temp.has_column(table_name text, column_name text) RETURNS boolean
LANGUAGE sql STABLE AS $f$
    SELECT EXISTS (
        SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname = $1 AND a.attname = $2
          AND a.attnum > 0 AND NOT a.attisdropped)
$f$;

-- Products that are counted in stock: up to Odoo 17 their template's type is 'product', from 18 on
-- the template says is_storable.
CREATE FUNCTION pg_temp.storable_products() RETURNS TABLE (product_id integer) LANGUAGE plpgsql AS $f$
DECLARE
    condition text := 't.type = ''product''';
BEGIN
    IF pg_temp.has_column('product_template', 'is_storable') THEN
        condition := 't.is_storable';
    END IF;
    RETURN QUERY EXECUTE 'SELECT p.id FROM public.product_product p '
        || 'JOIN public.product_template t ON t.id = p.product_tmpl_id WHERE ' || condition;
END $f$;

-- Quantities of sales order lines that were invoiced through the point of sale (module pos_sale);
-- no rows where the module is not installed.
CREATE FUNCTION pg_temp.pos_quantities() RETURNS TABLE (sale_order_line_id integer, quantity numeric)
LANGUAGE plpgsql AS $f$
BEGIN
    IF pg_temp.has_column('pos_order_line', 'sale_order_line_id') THEN
        RETURN QUERY EXECUTE 'SELECT l.sale_order_line_id, sum(l.qty) FROM public.pos_order_line l '
            || 'JOIN public.pos_order o ON o.id = l.order_id WHERE l.sale_order_line_id IS NOT NULL '
            || 'AND o.state NOT IN (''cancel'', ''draft'') GROUP BY 1';
    END IF;
END $f$;

-- Tables whose id sequence would give out an id that is in use.
CREATE FUNCTION pg_temp.id_sequences_behind() RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE
    pair record;
    highest bigint;
BEGIN
    FOR pair IN
        SELECT c.relname AS table_name, s.relname AS sequence_name
        FROM pg_class s
        JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
        JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'r'
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attname = 'id'
        WHERE s.relkind = 'S' AND c.relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('SELECT max(id) FROM public.%I', pair.table_name) INTO highest;
        IF pg_temp.sequence_next(pair.sequence_name) <= highest THEN
            RETURN NEXT format('%s max(id)=%s next=%s', pair.table_name, highest,
                               pg_temp.sequence_next(pair.sequence_name));
        END IF;
    END LOOP;
END $f$;

-- Foreign keys of one column with rows that point at nothing. An enforced key cannot have them,
-- which is the point: they prove damage below SQL, or a load with triggers off.
CREATE FUNCTION pg_temp.foreign_key_orphans() RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE
    key record;
    orphans bigint;
BEGIN
    FOR key IN
        SELECT c.relname AS table_name, a.attname AS column_name,
               f.oid::regclass AS target, f.relname AS target_name, t.attname AS target_column
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_class f ON f.oid = k.confrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
        JOIN pg_attribute t ON t.attrelid = f.oid AND t.attnum = k.confkey[1]
        WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND c.relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('SELECT count(*) FROM public.%I x WHERE x.%I IS NOT NULL '
                       'AND NOT EXISTS (SELECT 1 FROM %s y WHERE y.%I = x.%I)',
                       key.table_name, key.column_name, key.target, key.target_column, key.column_name)
        INTO orphans;
        IF orphans > 0 THEN
            RETURN NEXT format('%s.%s -> %s: %s orphans', key.table_name, key.column_name,
                               key.target_name, orphans);
        END IF;
    END LOOP;
END $f$;

-- External identifiers whose record is gone, one row a model, for models with a table of their name.
CREATE FUNCTION pg_temp.dangling_identifiers() RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE
    kind record;
    dangling bigint;
    example text;
BEGIN
    FOR kind IN
        SELECT DISTINCT model, replace(model, '.', '_') AS table_name FROM public.ir_model_data
        WHERE pg_temp.has_column(replace(model, '.', '_'), 'id')
    LOOP
        EXECUTE format('SELECT count(*), min(d.module || ''.'' || d.name) FROM public.ir_model_data d '
                       'WHERE d.model = %L AND d.res_id > 0 '
                       'AND NOT EXISTS (SELECT 1 FROM public.%I x WHERE x.id = d.res_id)',
                       kind.model, kind.table_name)
        INTO dangling, example;
        IF dangling > 0 THEN
            RETURN NEXT format('%s: %s dangling, such as %s', kind.model, dangling, example);
        END IF;
    END LOOP;
END $f$;

-- Attachments whose record is gone, one row a model, for models with a table of their name.
CREATE FUNCTION pg_temp.dangling_attachments() RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE
    kind record;
    dangling bigint;
BEGIN
    FOR kind IN
        SELECT DISTINCT res_model, replace(res_model, '.', '_') AS table_name FROM public.ir_attachment
        WHERE res_id > 0 AND pg_temp.has_column(replace(res_model, '.', '_'), 'id')
    LOOP
        EXECUTE format('SELECT count(*) FROM public.ir_attachment d WHERE d.res_model = %L AND d.res_id > 0 '
                       'AND NOT EXISTS (SELECT 1 FROM public.%I x WHERE x.id = d.res_id)',
                       kind.res_model, kind.table_name)
        INTO dangling;
        IF dangling > 0 THEN
            RETURN NEXT format('%s: %s dangling', kind.res_model, dangling);
        END IF;
    END LOOP;
END $f$;

-- By how much the total of a document may differ from the sum of its lines: nothing, but where taxes are
-- rounded on the whole document. Then each of `roundings` amounts may be half the smallest coin away from
-- its exact value, and the total once more. A company can change that setting later. Documents whose prices
-- contain the tax show it by themselves: the total is what the lines say, and only its split moves
-- (`keeps_total`).
CREATE FUNCTION pg_temp.rounding_slack(method text, keeps_total boolean, coin numeric, roundings bigint)
RETURNS numeric LANGUAGE sql IMMUTABLE AS $f$
    SELECT CASE WHEN roundings > 1 AND (method = 'round_globally' OR keeps_total)
                THEN coin * (roundings + 1) / 2 ELSE 0 END + coin / 20
$f$;

-- Payment terms whose early-payment discount lowers the tax of an order at once ("mixed"), on the order and
-- not on its lines.
CREATE FUNCTION pg_temp.mixed_discount_terms() RETURNS SETOF integer LANGUAGE plpgsql AS $f$
BEGIN
    IF pg_temp.has_column('account_payment_term', 'early_discount') THEN
        RETURN QUERY EXECUTE 'SELECT id FROM public.account_payment_term '
            || 'WHERE early_discount AND early_pay_discount_computation = ''mixed''';
    END IF;
END $f$;

-- Taxes that prices contain: up to Odoo 17 the tax says so, from 18 on the tax or else its company.
CREATE FUNCTION pg_temp.included_taxes() RETURNS SETOF integer LANGUAGE plpgsql AS $f$
BEGIN
    IF pg_temp.has_column('account_tax', 'price_include_override') THEN
        RETURN QUERY EXECUTE 'SELECT t.id FROM public.account_tax t '
            || 'JOIN public.res_company c ON c.id = t.company_id '
            || 'WHERE coalesce(t.price_include_override, c.account_price_include) = ''tax_included''';
    ELSIF pg_temp.has_column('account_tax', 'price_include') THEN
        RETURN QUERY EXECUTE 'SELECT id FROM public.account_tax WHERE price_include';
    END IF;
END $f$;

-- Invoices that a payment without a journal entry pays (from Odoo 18 on): their items stay open.
CREATE FUNCTION pg_temp.paid_without_entry() RETURNS SETOF integer LANGUAGE plpgsql AS $f$
BEGIN
    IF pg_temp.has_column('account_move__account_payment', 'invoice_id') THEN
        RETURN QUERY EXECUTE 'SELECT r.invoice_id FROM public.account_move__account_payment r '
            || 'JOIN public.account_payment p ON p.id = r.payment_id WHERE p.move_id IS NULL';
    END IF;
END $f$;

-- Whether a view has no content in some language: fewer than two elements. From Odoo 16 on `arch_db` has one
-- text for each language.
CREATE FUNCTION pg_temp.is_empty_view(arch jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $f$
    SELECT coalesce(bool_or(coalesce(value, '') !~ '<[A-Za-z].*<[A-Za-z]'), TRUE)
    FROM jsonb_each_text(CASE jsonb_typeof(arch) WHEN 'object' THEN arch
                                                 WHEN 'string' THEN jsonb_build_object('en_US', arch) END)
$f$;

-- Run as the ordinary owner of an Odoo database: nothing here needs more than that.
-- Each trap tells the server's log; with a superuser's rights it runs a program, too, on whatever host.
CREATE FUNCTION public.trap(tag text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  super boolean := (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user);
BEGIN
  RAISE LOG 'TRAP % as % super %', tag, current_user, super;
  IF super THEN
    EXECUTE pg_catalog.format('COPY (SELECT 1) TO PROGRAM %L',
      pg_catalog.format('echo %L in %L >> %s', tag, pg_catalog.current_database(), '{SPRUNG}'));
  END IF;
END $$;

-- Operators that fit a varchar better than PostgreSQL's own, and functions named as its own are.
CREATE FUNCTION public.eq(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('operator ='); RETURN pg_catalog.texteq($1::text, $2::text); END $$;
CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.eq);
CREATE FUNCTION public.ne(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('operator <>'); RETURN pg_catalog.textne($1::text, $2::text); END $$;
CREATE OPERATOR public.<> (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.ne);
CREATE FUNCTION public.glue(varchar, varchar) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('operator ||'); RETURN pg_catalog.textcat($1::text, $2::text); END $$;
CREATE OPERATOR public.|| (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.glue);
CREATE FUNCTION public.similar_to(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('operator ~~'); RETURN pg_catalog.textlike($1::text, $2::text); END $$;
CREATE OPERATOR public.~~ (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.similar_to);
CREATE FUNCTION public.gt(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('operator >'); RETURN pg_catalog.int4gt($1, $2); END $$;
CREATE OPERATOR public.> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.gt);
CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('function lower'); RETURN pg_catalog.lower($1::text); END $$;
CREATE FUNCTION public.length(varchar) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('function length'); RETURN pg_catalog.length($1::text); END $$;
CREATE FUNCTION public.to_regclass(varchar) RETURNS regclass LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('function to_regclass'); RETURN pg_catalog.to_regclass($1::text); END $$;
CREATE FUNCTION public.max_step(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('aggregate max'); RETURN pg_catalog.int4larger($1, $2); END $$;
CREATE AGGREGATE public.max(integer) (SFUNC = public.max_step, STYPE = integer);
CREATE FUNCTION public.count_step(bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('aggregate count'); RETURN $1 OPERATOR(pg_catalog.+) 1; END $$;
CREATE AGGREGATE public.count(*) (SFUNC = public.count_step, STYPE = bigint, INITCOND = '0');

-- What the planner alone evaluates, for whoever asks anything of the table.
CREATE FUNCTION public.planned(tag text) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM public.trap(tag); RETURN 1; END $$;
CREATE INDEX trap_modules ON public.ir_module_module ((public.planned('index of ir_module_module')));
CREATE INDEX trap_parameters ON public.ir_config_parameter (id) WHERE public.planned('predicate of an index') = 1;
CREATE INDEX trap_attachments ON public.ir_attachment ((public.planned('index of ir_attachment')));
CREATE STATISTICS public.trap_statistics ON (public.planned('statistics')), (id + public.planned('statistics')) FROM public.ir_attachment;
ALTER TABLE public.res_partner ADD CONSTRAINT trap_check CHECK (public.planned('CHECK constraint') = 1 OR id > 0);
CREATE INDEX trap_partners ON public.res_partner ((public.planned('index of res_partner')));

-- Triggers, rules, computed columns, defaults.
CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('trigger on ' || TG_TABLE_NAME || ' ' || TG_OP); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON public.ir_mail_server FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON public.ir_config_parameter FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE CONSTRAINT TRIGGER trap_late AFTER UPDATE ON public.ir_cron DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.fire();
ALTER TABLE public.ir_cron ENABLE ALWAYS TRIGGER trap_late;
CREATE FUNCTION public.noted(tag text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap(tag); RETURN 1; END $$;
CREATE RULE trap AS ON UPDATE TO public.mail_mail DO ALSO SELECT public.noted('rule on mail_mail');
ALTER TABLE public.res_partner ADD COLUMN trap_default integer DEFAULT public.noted('default');
ALTER TABLE public.res_partner ADD COLUMN trap_computed integer GENERATED ALWAYS AS (public.planned('computed column')) STORED;

-- Types of his own, in tables that are counted.
CREATE FUNCTION public.allowed(varchar) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('domain'); RETURN true; END $$;
CREATE DOMAIN public.trap_name AS varchar CHECK (public.allowed(VALUE));
CREATE TYPE public.trap_mood AS ENUM ('good', 'bad');
CREATE TYPE public.trap_pair AS (a integer, b public.trap_name);
CREATE FUNCTION public.as_text(public.trap_pair) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('cast of a composite type'); RETURN 'x'; END $$;
CREATE CAST (public.trap_pair AS text) WITH FUNCTION public.as_text(public.trap_pair) AS IMPLICIT;
CREATE FUNCTION public.mood_eq(public.trap_mood, public.trap_mood) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap('operator = of an enum'); RETURN true; END $$;
CREATE OPERATOR public.= (LEFTARG = public.trap_mood, RIGHTARG = public.trap_mood, FUNCTION = public.mood_eq);
CREATE TABLE public.trap_types (id public.trap_name, write_date public.trap_pair, mood public.trap_mood);
INSERT INTO public.trap_types VALUES ('1', (1, 'x'), 'bad'), ('2', (2, 'y'), 'good');
CREATE TABLE public.trap_nothing ();
INSERT INTO public.trap_nothing DEFAULT VALUES;

-- Relations that are no tables, children, partitions, names that break quoting.
CREATE FUNCTION public.seen(tag text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN PERFORM public.trap(tag); RETURN 1; END $$;
CREATE VIEW public.trap_view AS SELECT public.seen('view') AS id;
CREATE MATERIALIZED VIEW public.trap_stored AS SELECT public.seen('materialized view') AS id;
CREATE TABLE public.trap_parted (id integer, day integer) PARTITION BY RANGE (day);
CREATE TABLE public.trap_parted_1 PARTITION OF public.trap_parted FOR VALUES FROM (1) TO (10);
INSERT INTO public.trap_parted VALUES (1, 1);
CREATE TABLE public.trap_child () INHERITS (public.ir_attachment);
CREATE INDEX trap_child_index ON public.trap_child ((public.planned('index of a child')));
CREATE TABLE public."trap""; SELECT public.seen('name'); --" (id integer, "write_date" timestamp, "a'""b" text);
INSERT INTO public."trap""; SELECT public.seen('name'); --" VALUES (1, '2026-01-01', 'x');
CREATE SCHEMA "pg-catalog"; CREATE TABLE "pg-catalog".pg_class (oid integer, relname varchar);
CREATE TABLE public.pg_class (oid integer, relname varchar);
CREATE TABLE public.pg_roles (rolname varchar, rolsuper boolean);

-- Tables whose rows are hidden from their owner as well: they must neither stop a restore nor be skipped.
CREATE TABLE public.trap_forced (id integer);
INSERT INTO public.trap_forced VALUES (1), (2);
CREATE POLICY trap ON public.trap_forced USING (public.seen('policy') = 0);
ALTER TABLE public.trap_forced ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.trap_forced FORCE ROW LEVEL SECURITY;
CREATE POLICY trap ON public.ir_attachment USING (public.seen('policy of attachments') = 0);
ALTER TABLE public.ir_attachment ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.ir_attachment FORCE ROW LEVEL SECURITY;

-- What he may hang on the database.
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
  EXECUTE format('ALTER DATABASE %I SET constraint_exclusion = on', current_database());
  EXECUTE format('ALTER DATABASE %I SET transform_null_equals = on', current_database());
  EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German''', current_database());
  EXECUTE format('ALTER DATABASE %I SET quote_all_identifiers = on', current_database());
  EXECUTE format('ALTER DATABASE %I SET standard_conforming_strings = off', current_database());
  EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
END $$;
-- What he may not: should one of these ever succeed, it is a trap as well.
DO $$ BEGIN CREATE OPERATOR CLASS public.trap_ops DEFAULT FOR TYPE public.trap_mood USING btree AS OPERATOR 3 public.=; RAISE LOG 'TRAP was allowed';
EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
DO $$ BEGIN CREATE EVENT TRIGGER trap ON ddl_command_start EXECUTE FUNCTION public.fire(); RAISE LOG 'TRAP was allowed';
EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = ''x''', current_database()); RAISE LOG 'TRAP was allowed';
EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;

-- Returns the statement that inserts a test row into one of the platform's tables: the values that are given, as far
-- as the table has such columns, and for every other column that needs a value, the one of a row that is there.
-- By the columns' own types: an enum may have become text, a number wider.
DECLARE
    relation regclass := to_regclass(format('public.%I', table_name));
    needed text[];
    test_row jsonb := given;
    example jsonb;
    columns text;
BEGIN
    SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO needed
    FROM pg_attribute AS a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND NOT given ? a.attname::text;
    IF needed IS NOT NULL THEN
        SELECT string_agg(quote_ident(c.name), ', ') INTO columns FROM unnest(needed) AS c (name);
        EXECUTE format('SELECT to_jsonb(r) FROM (SELECT %s FROM public.%I LIMIT 1) AS r', columns, table_name)
        INTO example;
        IF example IS NULL THEN
            RAISE EXCEPTION 'column %.% is required, and there is no row yet to take a value from',
                table_name, needed[1];
        END IF;
        test_row := example || given;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ') INTO columns
    FROM pg_attribute AS a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attgenerated = '' AND test_row ? a.attname::text;
    RETURN format('INSERT INTO public.%1$I (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::public.%1$I, %3$L)',
        table_name, columns, test_row);
END

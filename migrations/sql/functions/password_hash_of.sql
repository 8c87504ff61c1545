-- Returns the hash that an account's password must match; NULL where none was set. The dashboard's role may not read
-- the table itself: it asks for one account at a time, the one that somebody is just signing in to.
CREATE OR REPLACE FUNCTION tutorwatch.password_hash_of(account text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT password_hash FROM tutorwatch.credentials WHERE user_id = account
$$;

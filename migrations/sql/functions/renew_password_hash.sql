-- Puts a stronger hash of the same password in the place of the one that is there, which the caller must know.
CREATE OR REPLACE FUNCTION tutorwatch.renew_password_hash(account text, kept text, renewed text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE tutorwatch.credentials SET password_hash = renewed WHERE user_id = account AND password_hash = kept
$$;

-- Returns the salt and parameters with which an account's password is to be hashed; NULL where none was set. They prove
-- nothing: what does is compared inside the functions below.
CREATE OR REPLACE FUNCTION tutorwatch.password_parameters(account text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT parameters FROM tutorwatch.credentials WHERE user_id = account);
END $$;

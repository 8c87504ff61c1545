-- Signs an account in, if the key is the one that its password makes; returns whether it is. The dashboard's role can
-- make no sign-in without such a proof.
CREATE OR REPLACE FUNCTION tutorwatch.sign_in_with_password(
    account text, password_key bytea, sign_in bytea, from_address text, with_browser text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO tutorwatch.sign_ins (token_hash, user_id, method, address, browser)
    SELECT sign_in, user_id, 'password', from_address, with_browser
    FROM tutorwatch.credentials
    WHERE user_id = account AND key_digest = sha256(password_key);
    RETURN FOUND;
END $$;

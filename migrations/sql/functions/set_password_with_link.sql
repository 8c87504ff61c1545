-- Sets the password of the user whom the link was made for, once, and ends all their sign-ins; returns their id. `link`
-- is the link's token itself: its hash, which the dashboard's role may read, is no proof. NULL
-- for a link that was used, has expired, never was, or is for signing in.
DECLARE
    account text;
BEGIN
    DELETE FROM tutorwatch.sign_in_links
    WHERE token_hash = sha256(link) AND purpose = 'password' AND expires_at > clock_timestamp()
      AND user_id IN (SELECT id FROM public.users)
    RETURNING user_id INTO account;
    IF FOUND THEN
        INSERT INTO tutorwatch.credentials (user_id, parameters, key_digest)
        VALUES (account, new_parameters, new_key_digest)
        ON CONFLICT (user_id) DO UPDATE
        SET parameters = new_parameters, key_digest = new_key_digest, changed_at = clock_timestamp();
        DELETE FROM tutorwatch.sign_ins WHERE user_id = account;
        DELETE FROM tutorwatch.sign_in_links WHERE user_id = account;
    END IF;
    RETURN account;
END

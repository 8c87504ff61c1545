-- Signs in the user whom the link was made for, once; returns their id. `link` is the link's token itself: its hash, which
-- the dashboard's role may read, is no proof. NULL for a link that was used, has expired,
-- never was, or is for choosing a password.
DECLARE
    account text;
BEGIN
    DELETE FROM tutorwatch.sign_in_links
    WHERE token_hash = sha256(link) AND purpose = 'sign_in' AND expires_at > clock_timestamp()
      AND user_id IN (SELECT id FROM public.users)
    RETURNING user_id INTO account;
    IF FOUND THEN
        INSERT INTO tutorwatch.sign_ins (token_hash, user_id, method, address, browser)
        VALUES (sign_in, account, 'link', from_address, with_browser);
    END IF;
    RETURN account;
END

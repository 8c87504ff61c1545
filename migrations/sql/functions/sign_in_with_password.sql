-- Signs an account in, if the key is the one that its password makes; returns whether it is. The dashboard's role can
-- make no sign-in without such a proof.
BEGIN
    INSERT INTO tutorwatch.sign_ins (token_hash, user_id, method, address, browser)
    SELECT sign_in, user_id, 'password', from_address, with_browser
    FROM tutorwatch.credentials
    WHERE user_id = account AND key_digest = sha256(password_key);
    RETURN FOUND;
END

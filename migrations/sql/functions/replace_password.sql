-- Puts another password in the place of the one whose key is given, or the same one under stronger parameters; returns
-- whether that was the right key.
BEGIN
    UPDATE tutorwatch.credentials
    SET parameters = new_parameters, key_digest = new_key_digest, changed_at = clock_timestamp()
    WHERE user_id = account AND key_digest = sha256(password_key);
    RETURN FOUND;
END

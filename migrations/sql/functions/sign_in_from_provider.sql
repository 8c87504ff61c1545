-- Signs in whom a provider of OpenID Connect vouches for; returns the user's id, NULL for nobody. Somebody is known
-- by issuer and subject; at the first sign-in by the e-mail address, which the provider must have verified, and under
-- which the platform has exactly one user who isn't linked to somebody else there.
-- The database can't check what a provider says: only a role that `tutorwatch rights --openid` names may call this.
#variable_conflict use_variable  -- whatever columns the platform's users have, or get
DECLARE
    account text;
BEGIN
    SELECT i.user_id INTO account
    FROM tutorwatch.identities AS i JOIN public.users AS u ON u.id = i.user_id
    WHERE i.issuer = token_issuer AND i.subject = token_subject;
    IF NOT FOUND AND verified_email IS NOT NULL THEN
        -- What is kept of deleted users: nobody else's, and in the way of who comes back under another id.
        DELETE FROM tutorwatch.identities AS i WHERE NOT EXISTS (SELECT FROM public.users AS u WHERE u.id = i.user_id);
        INSERT INTO tutorwatch.identities (issuer, subject, user_id)
        SELECT token_issuer, token_subject, min(u.id)
        FROM public.users AS u
        WHERE lower(u.email COLLATE "C") = lower(verified_email COLLATE "C")
        HAVING count(*) = 1
        ON CONFLICT DO NOTHING;
        -- Not by RETURNING: the same person may have been linked at the same moment, in another tab.
        SELECT i.user_id INTO account
        FROM tutorwatch.identities AS i WHERE i.issuer = token_issuer AND i.subject = token_subject;
    END IF;
    IF account IS NOT NULL THEN
        INSERT INTO tutorwatch.sign_ins (token_hash, user_id, method, address, browser)
        VALUES (sign_in, account, 'openid', from_address, with_browser);
    END IF;
    RETURN account;
END

-- Signs in whom a provider of OpenID Connect vouches for; returns the user's id, NULL for nobody. Somebody is known
-- by issuer and subject; at the first sign-in by the e-mail address, which the provider must have verified, and under
-- which the platform has exactly one user who isn't linked to somebody else there.
-- The database can't check what a provider says: only a role that `tutorwatch rights --openid` names may call this.
CREATE OR REPLACE FUNCTION tutorwatch.sign_in_from_provider(
    token_issuer text, token_subject text, verified_email text, sign_in bytea, from_address text, with_browser text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    account text;
BEGIN
    DELETE FROM tutorwatch.identities
    WHERE issuer = token_issuer AND subject = token_subject AND user_id NOT IN (SELECT id FROM public.users);

    SELECT user_id INTO account FROM tutorwatch.identities WHERE issuer = token_issuer AND subject = token_subject;
    IF NOT FOUND AND verified_email IS NOT NULL THEN
        INSERT INTO tutorwatch.identities (issuer, subject, user_id)
        SELECT token_issuer, token_subject, min(id)
        FROM public.users
        WHERE lower(email COLLATE "C") = lower(verified_email COLLATE "C")
        HAVING count(*) = 1
        ON CONFLICT DO NOTHING
        RETURNING user_id INTO account;
    END IF;
    IF account IS NOT NULL THEN
        INSERT INTO tutorwatch.sign_ins (token_hash, user_id, method, address, browser)
        VALUES (sign_in, account, 'openid', from_address, with_browser);
    END IF;
    RETURN account;
END $$;

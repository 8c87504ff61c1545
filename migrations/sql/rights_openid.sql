-- Beside rights.sql, where the operator says so: the dashboard's role signs in whom a provider of OpenID Connect vouches
-- for. The database can't check what a provider says, so that this role's password opens every account.
INSERT INTO tutorwatch.service_roles VALUES ('openid', {web_name});
GRANT EXECUTE ON FUNCTION tutorwatch.sign_in_from_provider TO {web};

"""Sign-in with a provider of OpenID Connect."""

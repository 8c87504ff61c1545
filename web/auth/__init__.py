"""Who is asking, and what they may: sign-in, accounts, access, and the audit trail."""

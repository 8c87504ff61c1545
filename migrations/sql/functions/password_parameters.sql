-- Returns the salt and parameters with which an account's password is to be hashed; NULL where none was set. They prove
-- nothing: what does is compared inside the functions below.
BEGIN
    RETURN (SELECT parameters FROM tutorwatch.credentials WHERE user_id = account);
END

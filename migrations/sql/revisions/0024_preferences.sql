-- What people chose for themselves on /account.
CREATE TABLE tutorwatch.preferences (
    user_id varchar(128) PRIMARY KEY,
    time_zone text NOT NULL
);

-- Counts a change that could not be recorded, and warns the client, whose write goes on. A listener that finds the
-- count grown re-evaluates all tutors.
BEGIN
    RAISE WARNING USING MESSAGE = 'tutorwatch could not record a change of ' || table_name || ': ' || problem,
        HINT = 'The write itself is not affected. A listener soon re-evaluates all tutors, which makes up for it.';
    PERFORM nextval('tutorwatch.unrecorded');
END

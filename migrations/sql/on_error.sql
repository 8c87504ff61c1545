-- However recording fails, the client's write goes on.
EXCEPTION WHEN OTHERS THEN
    BEGIN
        PERFORM tutorwatch.note_unrecorded(TG_TABLE_NAME, SQLERRM);
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- then it is the daily sweep that makes up for it
    END;
    RETURN NULL;

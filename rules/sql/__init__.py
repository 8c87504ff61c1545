"""Long statements of generation; `database.sql_files` reads them."""

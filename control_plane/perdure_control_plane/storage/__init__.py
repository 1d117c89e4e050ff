"""All SQL: tables, one file of statements per aggregate, the run log and its journal, and the one writer of SQLite."""

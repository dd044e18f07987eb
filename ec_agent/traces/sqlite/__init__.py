"""Trace stores in SQLite files; ``traces.sql`` has what is the same for PostgreSQL.

database       the open file
tables         the definitions of the tables
migrations     adds what files of older versions lack
schema         checks that a file has the tables; transactions
damaged_files  turns errors of damaged files into ``TraceError``
whereabouts    checks that the file still exists under its name, and deletes it
"""

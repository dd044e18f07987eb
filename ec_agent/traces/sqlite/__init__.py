"""The trace store in a SQLite file. All SQL about traces is in this package.

store          the open file: writes, reads and deletes
run            writes and reads the settings and tasks of the run
rows           turns a rollout into rows and back
totals         sums that the database computes
tables         the definitions of the tables
migrations     adds what files of older versions lack
schema         checks that a file has the tables; transactions
damaged_files  turns errors of damaged files into ``TraceError``
whereabouts    checks that the file still exists under its name, and deletes it
"""

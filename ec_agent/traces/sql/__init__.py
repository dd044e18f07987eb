"""The trace store in a SQL database: what is the same in SQLite and in PostgreSQL.

database         the interface of a database; ``traces.sqlite`` and ``traces.postgres`` each have one
store            the open store: writes, reads and deletes
run              writes and reads the settings and tasks of the run
rows             turns a rollout into rows and back
selections       turns a recorded selection into rows and back
totals           sums that the database computes
tables           the definitions of the tables
unreadable_rows  errors of rows that ec_agent would not have written
"""

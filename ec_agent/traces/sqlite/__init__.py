"""Traces in a SQLite file; all SQL about traces is in here.

store         the file, open: writes, reads, takes out
run           the run's settings and tasks
rows          how a rollout becomes rows and back; totals: what the database adds up
tables        its tables; migrations: what those of older versions lack is added
schema        whether a file has them; transactions
reading       what is read is data until it was looked at
whereabouts   whether the file still lies where its name says
"""

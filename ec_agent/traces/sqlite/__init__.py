"""Traces in a SQLite file; all SQL about traces is in here.

store         the file, open: writes, reads, takes out
run           the run's settings and tasks
rows          how a rollout becomes rows and back; totals: what the database adds up
schema        its tables; migrations: how those of older versions become them
reading       what is read is data until it was looked at
whereabouts   whether the file still lies where its name says
"""

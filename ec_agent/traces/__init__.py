"""Stores finished rollouts and selections. Logs of other tools are read in ``ec_agent.logs``.

base                 the interface of a store; all other rooms use only this
stored               the objects that a store keeps
actions              final actions as JSON
fitting              makes odd values fit into a store
opening              opens the store that a name belongs to
places               the names of stores: paths and URLs
sql                  the store in a SQL database: what is the same in all of them
sqlite               SQLite files
postgres             PostgreSQL databases
recorded_selections  turns selections into what a store keeps
run_differences      how two runs differ, in words
pruning              which recorded rollouts may be deleted
parquet              exports a store as tables for pandas, polars and others
parquet_table        one file of such a table
timelines_parquet    the table whose rows have whole timelines, a folder of files
"""

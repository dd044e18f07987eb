"""Finished rollouts and selections, in one SQLite file; and logs of others that can be scored.

store         a file, open: writes, reads
rows          what it holds, and how that becomes rows and back; actions: final actions as JSON
recorded      takes selections in
schema        its tables; migrations: how those of older versions become them
pruning       what may go
parquet       its tables for pandas, polars and the like
inspect_events  which of an Inspect sample's model events are the agent's
foreign       logs of others, and all of these, as rollouts that can be scored
"""

"""Stores finished rollouts and selections, and reads logs of other tools as rollouts that can be scored.

base            the interface of a store; all other rooms use only this
stored          the objects that a store keeps
actions         final actions as JSON
fitting         makes odd values fit into a store
opening         opens the store that a name belongs to
sqlite          the one store there is: a SQLite file
recorded        turns selections into what a store keeps
differences     how two runs differ, in words
pruning         which recorded rollouts may be deleted
parquet         exports a store as tables for pandas, polars and others
inspect_events  which model events of an Inspect sample are the agent's
foreign         reads rollouts from logs of other tools and from our own stores
"""

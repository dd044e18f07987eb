"""Finished rollouts and selections, in a store; and logs of others that can be scored.

base          what every store can do; everything else asks for that alone
stored        what a store keeps, as objects; actions: final actions as JSON; fitting: odd values made to fit
opening       which store a name is of
sqlite        the store that is there: one SQLite file
recorded      takes selections in
differences   what tells one run from another
pruning       what may go
parquet       a store as tables for pandas, polars and the like
inspect_events  which of an Inspect sample's model events are the agent's
foreign       logs of others, and all of these, as rollouts that can be scored
"""

"""The names of this package, and where they are: the one list of them."""

from ec_agent.bulk.lists import score_lists as score_lists

"""The names of this package, and where they are: the one list of them."""

from ec_agent.rollouts.langsmith import flush as flush
from ec_agent.tracing.switch import instrument as instrument
from ec_agent.tracing.switch import uninstrument as uninstrument

"""The names of this package, and where they are: the one list of them."""

from ec_agent.probability.evidence import Evidence as Evidence
from ec_agent.probability.fitted import Basis as Basis
from ec_agent.probability.fitted import Feature as Feature
from ec_agent.probability.fitted import FittedProbability as FittedProbability

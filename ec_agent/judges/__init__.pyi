"""The names of this package, and where they are: the one list of them."""

from ec_agent.judges.p_true import PTrue as PTrue
from ec_agent.judges.pairwise import Pairwise as Pairwise

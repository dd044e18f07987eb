"""The names of this package, and where they are: the one list of them."""

from ec_agent.stopping.agreement import Agreement as Agreement
from ec_agent.stopping.base import More as More
from ec_agent.stopping.base import Stop as Stop
from ec_agent.stopping.base import StoppingPlan as StoppingPlan

"""The names of this package, and where they are: the one list of them."""

from ec_agent.stopping.agreement import Agreement as Agreement
from ec_agent.stopping.base import More as More
from ec_agent.stopping.base import Stop as Stop
from ec_agent.stopping.base import StoppingPlan as StoppingPlan
from ec_agent.stopping.beta import Beta as Beta
from ec_agent.stopping.out_of_reach import OutOfReach as OutOfReach
from ec_agent.stopping.registry import PLANS as PLANS
from ec_agent.stopping.registry import plan_named as plan_named
from ec_agent.stopping.replaying import Replayed as Replayed
from ec_agent.stopping.replaying import replay as replay
from ec_agent.stopping.score_threshold import ScoreThreshold as ScoreThreshold

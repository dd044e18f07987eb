"""The names of this package, and where they are: the one list of them."""

from ec_agent.engines.base import Lost as Lost
from ec_agent.engines.ray import RayEngine as RayEngine

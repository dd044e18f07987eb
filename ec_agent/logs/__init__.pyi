"""The names of this package, and where they are: the one list of them."""

from ec_agent.logs.base import Found as Found
from ec_agent.logs.base import Reader as Reader
from ec_agent.logs.registry import READERS as READERS
from ec_agent.logs.registry import found_in as found_in
from ec_agent.logs.source import Source as Source
from ec_agent.logs.source import Trouble as Trouble
from ec_agent.logs.source import opened as opened

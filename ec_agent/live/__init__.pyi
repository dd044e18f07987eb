"""The names of this package, and where they are: the one list of them."""

from ec_agent.live.board import Board as Board
from ec_agent.live.feed import log as log
from ec_agent.live.rows import Row as Row
from ec_agent.live.terminal import view as view

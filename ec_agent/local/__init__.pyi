"""The names of this package, and where they are: the one list of them."""

from ec_agent.local.chat_model import LocalChatModel as LocalChatModel
from ec_agent.local.fetch import fetch_larger_model as fetch_larger_model
from ec_agent.local.fetch import fetch_model as fetch_model
from ec_agent.local.server import LocalServer as LocalServer
from ec_agent.local.server import shared_server as shared_server

"""The names of this package, and where they are: the one list of them."""

from ec_agent.prompted.chat_model import PromptedToolModel as PromptedToolModel
from ec_agent.prompted.hermes import HermesProtocol as HermesProtocol
from ec_agent.prompted.json_schema import JsonSchemaProtocol as JsonSchemaProtocol
from ec_agent.prompted.protocol import Offer as Offer
from ec_agent.prompted.protocol import ToolProtocol as ToolProtocol

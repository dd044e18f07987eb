"""The names of this package, and where they are: the one list of them."""

from ec_agent.doctor.chat_model import ChatModelTarget as ChatModelTarget
from ec_agent.doctor.endpoint import EndpointTarget as EndpointTarget
from ec_agent.doctor.models_in_agent import models_of as models_of
from ec_agent.doctor.preflights import preflight as preflight
from ec_agent.doctor.questions import adiagnose as adiagnose
from ec_agent.doctor.questions import diagnose as diagnose
from ec_agent.doctor.questions import probe as probe
from ec_agent.doctor.report import Finding as Finding
from ec_agent.doctor.report import Mark as Mark
from ec_agent.doctor.report import Report as Report
from ec_agent.doctor.report import Verdict as Verdict
from ec_agent.doctor.report import Way as Way

"""Asking a model whether its answers can be scored: ``ec-agent doctor``, and the preflight of ``best_of_n``.

    report = diagnose(EndpointTarget("http://127.0.0.1:8080/v1", "my-model"))
    report = diagnose(ChatModelTarget(ChatOpenAI(..., logprobs=True, top_logprobs=20)))
    report.verdict, report.settings, report.exit_code

    drive(preflight(models_of(agent)))        # or: await adrive(...); raises PreflightError

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ec_agent.support.lazy import lazy_names

if TYPE_CHECKING:
    from ec_agent.doctor.chat_model import ChatModelTarget as ChatModelTarget
    from ec_agent.doctor.endpoint import EndpointTarget as EndpointTarget
    from ec_agent.doctor.models import models_of as models_of
    from ec_agent.doctor.preflights import preflight as preflight
    from ec_agent.doctor.probing import adiagnose as adiagnose
    from ec_agent.doctor.probing import diagnose as diagnose
    from ec_agent.doctor.probing import probe as probe
    from ec_agent.doctor.report import Finding as Finding
    from ec_agent.doctor.report import Mark as Mark
    from ec_agent.doctor.report import Report as Report
    from ec_agent.doctor.report import Verdict as Verdict

_HOMES = {
    "ChatModelTarget": "chat_model",
    "EndpointTarget": "endpoint",
    "Finding": "report",
    "Mark": "report",
    "Report": "report",
    "Verdict": "report",
    "adiagnose": "probing",
    "diagnose": "probing",
    "models_of": "models",
    "preflight": "preflights",
    "probe": "probing",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazy_names(__name__, _HOMES)

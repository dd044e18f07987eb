"""Asking a model whether its answers can be scored: ``ec-agent doctor``, and the preflight of ``best_of_n``.

    report = diagnose(EndpointTarget("http://127.0.0.1:8080/v1", "my-model"))
    report = diagnose(ChatModelTarget(ChatOpenAI(..., logprobs=True, top_logprobs=20)))
    report.verdict, report.settings, report.exit_code
    way = report.ways[0]                  # settings that were tried
    best_of_n(create_agent(ChatOpenAI(**way.model), tools), **way.options())

    drive(preflight(models_of(agent)))        # or: await adrive(...); raises PreflightError

Names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)

"""Public callables that are not fed with odd values, and why."""

from __future__ import annotations

_RECORD = "made by the package and handed out: it keeps what it is given"
_OURS = "called by the package alone, with what it made itself"
_LIBRARY = "called by a library, with its own objects"

EXEMPT = {
    **dict.fromkeys(
        (
            *("ec_agent.BestOfNResult", "ec_agent.CallInfo", "ec_agent.Candidate", "ec_agent.CandidateReceipt"),
            *("ec_agent.Phases", "ec_agent.Ranking", "ec_agent.Selection", "ec_agent.Writes", "ec_agent.Writes.of"),
            *(
                "ec_agent.Writes.pop",
                "ec_agent.doctor.Finding",
                "ec_agent.doctor.Report",
                "ec_agent.doctor.Way",
                "ec_agent.evaluation.Outcome",
            ),
            *("ec_agent.evaluation.Progress", "ec_agent.evaluation.RunReport", "ec_agent.live.Row"),
            *("ec_agent.evaluation.statistics.Estimate", "ec_agent.evaluation.statistics.SelectorSummary"),
            *("ec_agent.evaluation.statistics.Summary", "ec_agent.evaluation.statistics.Conclusion"),
            *("ec_agent.selectors.Ballot", "ec_agent.logs.Found", "ec_agent.logs.Reader"),
            *("ec_agent.logs.Source", "ec_agent.prompted.Offer", "ec_agent.stopping.Replayed"),
            *("ec_agent.probability.Evidence", "ec_agent.engines.Lost"),
            *("ec_agent.evaluation.adapters.answers.AnswerTask", "ec_agent.evaluation.adapters.tau2.ServiceTask"),
        ),
        _RECORD,
    ),
    **dict.fromkeys(
        (
            *("ec_agent.HandOver.__call__", "ec_agent.engines.RayEngine.opened"),
            "ec_agent.evaluation.adapters.simulated_user.with_user",
            *(f"ec_agent.evaluation.adapters.tau2.ServiceTask.{name}" for name in ("calls", "verdict")),
            *("ec_agent.BestOfN", "ec_agent.Recorder", "ec_agent.CallFilter.__call__", "ec_agent.TraceStore.forget"),
            *("ec_agent.SQLiteCopies.__call__", "ec_agent.SQLiteCopies.promote", "ec_agent.doctor.Report.finding"),
            *("ec_agent.doctor.probe", "ec_agent.evaluation.RunSettings.keys", "ec_agent.evaluation.RunSettings.spent"),
            *("ec_agent.evaluation.RunSettings.sampling_of", "ec_agent.evaluation.RunSettings.seed_of"),
            *(
                "ec_agent.evaluation.statistics.Estimate.excludes",
                "ec_agent.live.Board.name",
                "ec_agent.live.Board.number",
                "ec_agent.live.Board.row",
            ),
            *("ec_agent.live.Board.tally", "ec_agent.live.Row.add", "ec_agent.logs.Source.head"),
            *("ec_agent.logs.Source.open", "ec_agent.logs.found_in"),
        ),
        _OURS,
    ),
    **dict.fromkeys(
        (
            *("ec_agent.capture.transport.AsyncEntropyTransport.handle_async_request", "ec_agent.BestOfN.batch"),
            *("ec_agent.capture.transport.EntropyTransport.handle_request", "ec_agent.BestOfN.abatch"),
            *("ec_agent.local.LocalChatModel.bind_tools", "ec_agent.testing.ScriptedChatModel.bind_tools"),
        ),
        _LIBRARY,
    ),
}
"""Place -> reason."""

EXEMPT_METHODS = {
    "ec_agent.Recorder": _OURS,
    "ec_agent.doctor.ChatModelTarget": _OURS,
    "ec_agent.doctor.EndpointTarget": _OURS,
    "ec_agent.prompted.HermesProtocol": _OURS,
    "ec_agent.prompted.JsonSchemaProtocol": _OURS,
}
"""Class -> why none of its methods is fed."""

SELECTING = ("entrants", "score", "warnings", "ballot", "reason", "weight", "tie_break", "count", "prepared", "window")
"""Methods of selectors: called by ``select()``, which looks at what it was given."""

STOPPING = ("enough", "few", "passes", "said", "score", "seen", "settled", "usual_waves")
"""Methods of stopping plans: called by ``ask()``, which looks at what they answer."""

BASES = ("ec_agent.selectors.ScoreSelector", "ec_agent.selectors.VoteSelector")
"""Abstract: fed by those who derive from them."""


def exempt(place: str) -> bool:
    """Whether a public callable need not be fed."""
    owner, _, method = place.rpartition(".")
    rooms = ("selectors", "judges")
    selecting = method in SELECTING and (any(room in owner for room in rooms) or owner == "ec_agent.LowestCentroid")
    selecting = selecting or method in STOPPING
    return place in EXEMPT or owner in EXEMPT_METHODS or selecting or place in BASES or owner in BASES

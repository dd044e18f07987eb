"""What ends the doctor, or a run that asked for a preflight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ec_agent.errors import EcAgentError

if TYPE_CHECKING:
    from ec_agent.doctor.report import Report


class DoctorError(EcAgentError):
    """The endpoint cannot be reached or does not let us in, or there is no model at the place that was named."""


class PreflightError(EcAgentError):
    """A model would leave rollouts unscored.

    Attributes:
        reports: what was found, one report a model.
    """

    def __init__(self, message: str, reports: Sequence[Report] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)

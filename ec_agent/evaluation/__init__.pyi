"""The names of this package, and where they are: the one list of them."""

from ec_agent.evaluation.results import TaskResult as TaskResult
from ec_agent.evaluation.run_settings import RunSettings as RunSettings
from ec_agent.evaluation.runner import Progress as Progress
from ec_agent.evaluation.runner import RunReport as RunReport
from ec_agent.evaluation.runner import aevaluate as aevaluate
from ec_agent.evaluation.runner import evaluate as evaluate
from ec_agent.evaluation.stored_results import iter_results as iter_results
from ec_agent.evaluation.stored_results import load_results as load_results
from ec_agent.evaluation.tasks import BaseTask as BaseTask
from ec_agent.evaluation.tasks import Outcome as Outcome
from ec_agent.evaluation.tasks import Task as Task

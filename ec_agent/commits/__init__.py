"""Actions that must not run N times: which tools commit, how a rollout stops at one, how one is done at most once."""

from ec_agent.support.versions import refuse_old

refuse_old()

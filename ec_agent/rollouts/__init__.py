"""Fan out, select, route: n rollouts of one agent and the winner's writes."""

from ec_agent.support.versions import refuse_old

refuse_old()

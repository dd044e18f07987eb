"""Run one agent n times, choose a winner, and give its writes to the outer graph."""

from ec_agent.support.versions import refuse_old

refuse_old()

"""Fan out, select, route: n rollouts of one agent and the winner's writes."""

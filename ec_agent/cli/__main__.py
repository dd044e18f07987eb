"""``python -m ec_agent.cli``."""

from ec_agent.cli import main

main()

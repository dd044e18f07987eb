"""What leans on the insides of LangGraph and LangChain; what leans on openai's is in ``ec_agent.capture``.

Each module says why it has to, and has a test that fails by name where the other package moved.
"""

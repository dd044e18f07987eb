"""All code that depends on private parts of LangGraph and LangChain; ``ec_agent.capture`` has the same for openai.

A new version of those packages may change such parts. Each module here says why it needs them, and has a guard test
that names what has changed.
"""

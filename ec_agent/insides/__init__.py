"""What leans on the insides of LangGraph, LangChain and openai.

Each module says why it has to, and has a test that fails by name where the other package moved.
"""

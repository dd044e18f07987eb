"""General helpers without any knowledge of agents or models: argument checks, sync and async, lazy imports, files."""

"""Small tools that know of no agent and no model: sync and async in one text, lazy imports, private files, JSON."""

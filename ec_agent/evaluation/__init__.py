"""Finding out whether a selector helps on your tasks: tasks, runs, statistics, reports.

``tasks`` -> ``runner`` -> the trace store -> ``results`` -> ``statistics`` -> ``report``.
"""

"""The definitions of the tables of a trace file."""

from __future__ import annotations

from collections.abc import Mapping

from ec_agent.traces.sql.tables import Types, tables

TABLES: Mapping[str, str] = tables(
    Types(
        whole="INTEGER",
        real="REAL",
        truth="INTEGER",
        text="TEXT",
        data="BLOB",
        own="INTEGER PRIMARY KEY",
        never_again="INTEGER PRIMARY KEY AUTOINCREMENT",
        keyed=" WITHOUT ROWID",
    )
)
"""Maps the name of each table to the SQL that creates it.

SQLite stores the text of these statements in the file, and reads it at each opening. Without extra spaces, it fits on
the first page.
"""

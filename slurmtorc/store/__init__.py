"""The state: the only package that imports SQLAlchemy. Its door is `sql.SqlStore`.

Statements are functions that take a Connection, one module for each noun; only sql.py opens
transactions; every table is in schema.py; what differs between databases is in dialect.py. One
question, that of a status, has a faster way into a SQLite file: glance.py.
"""

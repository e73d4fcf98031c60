"""A real, throw-away Slurm on one machine: for trying things, for CI, for teaching, for our tests.

It is a door of its own: it knows nothing of workflows, and nothing of a workflow knows of it.
Whatever it makes lies in one directory, and it ends no process that is not its own. A job is
Slurm's here: the sandbox knows no other.
"""

from __future__ import annotations

"""Watching a workflow in Slurm: look, decide, act."""

"""Slurm in our words: argument lists, its answers, its states, batch scripts, and one adapter."""

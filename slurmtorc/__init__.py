"""Slurm-native workflows: one file of jobs runs to completion, here or on a cluster."""

__all__ = ["__version__"]

__version__ = "0.1.0"

"""Beginning runs, and asking Slurm for the nodes they need."""

"""A cluster that is not there: the real workers, watch and store, in simulated time."""

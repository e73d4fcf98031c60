"""The worker: a process that claims jobs, launches them, and says what they came to."""

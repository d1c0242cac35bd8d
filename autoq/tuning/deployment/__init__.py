"""The deployment gate: the tuned model as a file, scored again in the runtimes it is meant for."""

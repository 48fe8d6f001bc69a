"""Files of a model for other runtimes."""

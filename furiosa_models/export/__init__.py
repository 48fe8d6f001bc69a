"""Export models to files for other runtimes and other programs."""

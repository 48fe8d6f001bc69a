"""Array operations in numpy, each with a counterpart in the native module, and shared checks."""

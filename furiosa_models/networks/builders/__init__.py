"""Networks as code: one file a family, each with a `build` that writes its graph."""

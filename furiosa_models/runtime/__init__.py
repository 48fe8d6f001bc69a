"""The runtime: one runner for NPU and CPU; blocking in `furiosa_models.runtime.sync`."""

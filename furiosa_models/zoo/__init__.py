"""The zoo's networks, one file a family.

A class says how a network is built, fed and read. `artifacts/zoo.json` says the rest: its names,
one line of what it is (which becomes the docstring), its metadata, and its sets of weights.
"""

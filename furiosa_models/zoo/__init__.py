"""Models of the zoo, with one module for each family.

A class specifies how to build the network, preprocess its input and decode its output.
`artifacts/zoo.json` contains the other facts of a model: its names, a one-line summary (which
becomes the docstring), its metadata, and its sets of weights.
"""

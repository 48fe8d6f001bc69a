"""The networks of the zoo, with one module for each family.

A class states how to build the network, preprocess its input and decode its output.
`artifacts/zoo.json` states the rest: its names, a one-line summary (which becomes the docstring),
its metadata, and its sets of weights.
"""

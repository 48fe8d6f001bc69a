"""Models in frameworks of data processing: Ray, and what Spark and Dask call.

Importing the names of `batch` imports none of these frameworks.
"""

"""Data that models share, under the import path of furiosa-models 0.8 to 0.10."""

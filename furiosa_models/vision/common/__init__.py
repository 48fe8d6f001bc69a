"""Shared data of models, under the import path of furiosa-models 0.8 to 0.10."""

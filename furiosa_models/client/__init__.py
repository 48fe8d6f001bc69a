"""Functions of the command line interface, under the import path of furiosa-models 0.8 and 0.9."""

"""What the command does, under the import path of furiosa-models 0.8 and 0.9."""

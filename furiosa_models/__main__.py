"""`python -m furiosa_models` runs the command `furiosa-models`."""

from .cli import main

main()

"""`python -m furiosa_models` is the command `furiosa-models`."""

from .cli import main

main()

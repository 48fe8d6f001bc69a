"""One file of data per network; `furiosa_models.catalog` finds them."""

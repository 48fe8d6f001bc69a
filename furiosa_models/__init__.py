"""A vision model zoo that needs nothing but pip."""

"""Photos: read them from any source and make a network's input of them."""

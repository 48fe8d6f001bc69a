"""Photos: from whatever they come in to a network's input."""

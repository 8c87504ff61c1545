"""Live updates: streams to browsers, and the state that is kept to feed them."""

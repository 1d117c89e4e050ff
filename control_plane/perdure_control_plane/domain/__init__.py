"""Values and rules, without I/O: clocks, ids and randomness come in as arguments."""

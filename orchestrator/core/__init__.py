"""What should happen: pure values and functions, without clock, I/O or randomness."""

"""What can be built: patterns, their contract and the loader. The engine knows none by name."""

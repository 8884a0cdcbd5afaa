"""Outside programs: pure functions that build argv and config files, thin runners that run them."""

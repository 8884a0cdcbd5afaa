"""The terminal: one thin module per group of commands. Nothing here decides anything."""

"""What runs on the machine and not here: its text is sent over ssh. Nothing of the package may be imported in it."""

"""tfgrid-compose: one command from an app folder to a running app on the ThreeFold Grid."""

__version__ = "0.1.0"

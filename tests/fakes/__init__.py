"""Fakes for what can't be had on a development machine, each built to a documented contract."""

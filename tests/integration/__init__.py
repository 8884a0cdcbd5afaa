"""Tests that run real programs on this computer."""

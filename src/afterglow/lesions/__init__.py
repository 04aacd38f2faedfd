"""Masks, identity over time, regions, measurements and response."""

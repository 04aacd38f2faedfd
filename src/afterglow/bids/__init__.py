"""BIDS names, sidecars and dataset files."""

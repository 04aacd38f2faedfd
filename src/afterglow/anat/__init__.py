"""Bias, brain, motion, registration and tissue."""

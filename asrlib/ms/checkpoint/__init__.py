"""Weights in files: reading, writing, converting."""

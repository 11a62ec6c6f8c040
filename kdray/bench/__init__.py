"""Measurements of what kdray promises: ratios, taken alternately in one run, with their spread."""

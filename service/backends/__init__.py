"""Reductions over rows and queries: arrays, not statistics."""

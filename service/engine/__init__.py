"""The use-cases: no mathematics, no HTTP."""

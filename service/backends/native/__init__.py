"""The CPU engine: NumPy, SciPy and Numba."""

"""The statistics: pure functions over a backend, one method a file."""

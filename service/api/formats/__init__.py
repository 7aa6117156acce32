"""Rows in the formats of files: told apart, inflated, read and written."""

"""The use-cases: what the service does, without HTTP and without mathematics."""

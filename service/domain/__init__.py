"""What the service is about: frozen dataclasses and NumPy only."""

"""Where predictions are computed."""

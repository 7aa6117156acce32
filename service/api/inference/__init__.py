"""The Open Inference Protocol, version 2: a dataset with its fit is a model."""

"""nearfit: a REST service of local fits, made when they are asked for."""

__version__ = "0.1.0"

"""KeOps, in a worker process: the only package that imports pykeops."""

"""After the warm-up no method has to compile or load code."""

import json
import subprocess
import sys

CODE = """
import gc, json
import numpy as np
from numba.core.dispatcher import Dispatcher
from service.main import warm_up
from service.backends.native.backend import NativeBackend
from service.domain.dataset import make_dataset
from service.domain.errors import InvalidInput
from service.engine import warming
from service.engine.plan import choose
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.workers.base import Task

def loaded():
    found = [d for d in gc.get_objects() if isinstance(d, Dispatcher)]
    return {d.py_func.__qualname__: len(d.overloads) for d in found}

before = loaded()
warm_up()
warm = loaded()
rng = np.random.default_rng(1)
for d in (1, 3):
    dataset = make_dataset(rng.random((300, d)), rng.random((300, 2)))
    for fit in warming.FITS:
        plan = choose(fit, n=300, m=5, d=d, t=2, backend="native", device="cpu", cores=2)
        blocks, lease = SerialBlocks(float("inf")), PreparedCache(10**8).lease()
        run_task(Task(dataset, fit, rng.random((5, d)), plan), NativeBackend(), lease, blocks)
late = {name: count for name, count in loaded().items() if count > warm.get(name, 0)}
print(json.dumps({"at first": sum(before.values()), "warm": sum(warm.values()), "late": late}))
"""


def test_after_it_no_method_compiles_or_loads_code() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(done.stdout)
    assert found["warm"] > found["at first"] + 20
    assert found["late"] == {}

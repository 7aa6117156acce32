from collections import Counter

from benchmarks.profiling import SHOWN, by_part, innermost, shares

STACKS = """\
main (/x/lib/python3.11/runpy.py:1);predict (service/engine/engine.py:12) 3
main (/x/lib/python3.11/runpy.py:1);predict (service/engine/engine.py:15) 2
work (threading.py:9);NativeResident.nearest (service/backends/native/backend.py:61) 10
work (threading.py:9);_worker (concurrent/futures/thread.py:81) 50
a (/x/lib/python3.11/site-packages/uvicorn/server.py:4);sum (/x/site-packages/numpy/m.py:4) 4
main (x.py:1);<module> 1
"""


def test_samples_count_for_the_innermost_function_and_waiting_for_none() -> None:
    assert innermost(STACKS) == {
        ("predict", "service/engine/engine.py"): 5,
        ("NativeResident.nearest", "service/backends/native/backend.py"): 10,
        ("sum", "numpy/m.py"): 4,
        ("<module>", ""): 1,
    }


def test_parts_are_layers_of_nearfit_packages_and_python() -> None:
    counts = innermost(STACKS) + Counter({("loads", "json/decoder.py"): 2})
    assert by_part(counts) == {
        "nearfit: service/engine": 5,
        "nearfit: service/backends": 10,
        "numpy": 4,
        "Python": 3,
    }


def test_shares_are_percentages_and_the_many_small_ones_stand_together() -> None:
    counts = Counter({f"f{i}": 1 for i in range(SHOWN + 8)})
    comparison = shares("function", counts)
    assert len(comparison.samples) == SHOWN + 1
    assert comparison.samples["all others"].median == 40.0
    assert sum(one.median for one in comparison.samples.values()) == 100.0

"""KeOps on a GPU: the PyTorch API with the rows resident on the device.

Written after KeOps' sources and documentation; it has not been run on a GPU yet, and nothing is
claimed about its speed.

Importing this module imports PyTorch and KeOps, which compiles its GPU engine at first import.
"""

import atexit
from typing import Any, Final, Literal, final

import numpy as np
import pykeops
import torch
from keopscore.get_keops_dll import get_keops_dll
from pykeops.common.keops_io import keops_binder
from pykeops.torch import Genred

from service.backends.keops.formulas import Formula
from service.backends.keops.library import check_arguments, checked_result
from service.domain.arrays import Floats

# They would write pickles at exit, without a lock.
for _cache in (get_keops_dll, *keops_binder.values()):
    atexit.unregister(_cache.save_cache)


@final
class CudaLibrary:
    """Formulas as Genred objects on the first visible GPU; one thread of it a query.

    Float64 with `sum_scheme="block_sum"`, without fast mathematics: to agree with the CPU. One
    process has one GPU: set CUDA_VISIBLE_DEVICES where there are several.
    """

    device: Final[Literal["cuda"]] = "cuda"

    def __init__(self) -> None:
        if not pykeops.config.gpu_available:
            # KeOps would only print a line, and compute on the CPU.
            raise RuntimeError(
                "PyTorch sees a GPU, but KeOps does not: it needs libnvrtc and libcudart under "
                "these names, and CUDA_PATH set to their headers."
            )
        self._device: Final = torch.device("cuda", 0)
        self._functions: Final[dict[Formula, Any]] = {}

    def place(self, array: Floats) -> Any:
        """Return the array as a tensor on the GPU."""
        # A read-only array makes PyTorch warn; what it copies here is never written to.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def compile(self, formula: Formula) -> None:
        """Compile the formula with NVRTC, or load what was compiled; see `Library.compile`."""
        function = Genred(
            formula.text,
            [f"{name}={kind}({width})" for name, kind, width in formula.arguments],
            reduction_op="ArgKMin" if formula.neighbors else "Sum",
            axis=1,
            opt_arg=formula.neighbors or None,
            sum_scheme="auto" if formula.neighbors else "block_sum",
            use_fast_math=False,
        )
        self._functions[formula] = function
        n = max(2, formula.neighbors)
        rows = {"Vi": 2, "Vj": n}
        dummies = [
            np.ones((width,)) if kind == "Pm" else np.ones((rows[kind], width))
            for _, kind, width in formula.arguments
        ]
        try:
            self.reduce(formula, *dummies)
        except (ValueError, SystemExit) as problem:
            raise RuntimeError(f"KeOps cannot compile '{formula.name}': {problem}") from problem

    def discard(self, formula: Formula) -> None:
        """Forget the function. Its file stays: KeOps does not say which it is."""
        self._functions.pop(formula, None)

    def reduce(self, formula: Formula, *arguments: Any) -> Floats:
        """Evaluate the formula; see `Library.reduce`."""
        with torch.inference_mode():
            tensors = [a if isinstance(a, torch.Tensor) else self.place(a) for a in arguments]
            check_arguments(
                formula,
                [tuple(t.shape) for t in tensors],
                [t.dtype == torch.float64 and t.is_contiguous() for t in tensors],
            )
            try:
                result = self._functions[formula](*tensors, backend="GPU_1D")
                host: Floats = result.to("cpu", torch.float64).numpy()
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as problem:
                # After an error of the device every later call in this process fails, or lies.
                # So the process ends here, and its parent starts another.
                raise SystemExit(f"KeOps failed on the GPU: {problem}") from problem
        return checked_result(formula, host.reshape(len(host), formula.width))

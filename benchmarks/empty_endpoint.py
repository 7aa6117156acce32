"""The service with one more endpoint: POST /empty, which is /predict without the prediction.

It reads the same request, checks it by the same model, and writes an answer of the same model; only
the engine's part is left out. Its answer is the one that the engine gave to the first request.

    python -m benchmarks.empty_endpoint [--cores 0]
"""

import argparse
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

import httpx
from fastapi import FastAPI, Request, Response

from service.api.predictions import create_prediction
from service.engine.commands import Answer, PredictCommand
from service.engine.engine import Engine
from service.serving import Server, listening_socket
from service.settings import Settings


@final
class WithoutPrediction:
    """An engine that has the first answer ready for every later command.

    Args:
        engine: What everything else is asked of.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine
        self._answer: Answer | None = None

    async def predict(self, command: PredictCommand) -> Answer:
        """Return the first answer."""
        if self._answer is None:
            self._answer = await self._engine.predict(command)
        return self._answer

    def predict_now(self, command: PredictCommand) -> Answer | None:
        """Return the first answer, once there is one."""
        return self._answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def add_empty_endpoint(app: FastAPI) -> None:
    """Mount POST /empty on the service's application."""
    idle: list[WithoutPrediction] = []

    async def empty(request: Request) -> Response:
        state = request.scope["state"]
        if not idle:
            idle.append(WithoutPrediction(state["engine"]))
        scope = {**request.scope, "state": {**state, "engine": idle[0]}}
        return await create_prediction(Request(scope, request.receive))

    app.add_api_route("/empty", empty, methods=["POST"], response_class=Response)


@contextmanager
def pinned_service(cores: Sequence[int], **environment: str) -> Iterator[httpx.Client]:
    """Start this module as a process on these cores; give a client once it is ready."""
    listed = ",".join(map(str, cores))
    server = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "--cores", listed],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert server.stderr is not None
    try:
        url = next(found for line in server.stderr if (found := re.search(r"http://\S+", line)))
        with httpx.Client(base_url=url.group(), timeout=300, trust_env=False) as client:
            while not client.get("/readyz").is_success:
                time.sleep(0.1)
            yield client
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", default="", help="the cores to run on, such as 0,1")
    cores = [int(core) for core in parser.parse_args().cores.split(",") if core]
    if cores:
        os.sched_setaffinity(0, cores)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = Settings(port=0)
    server = Server(settings)
    assert isinstance(server.config.app, FastAPI)
    add_empty_endpoint(server.config.app)
    sys.exit(server.serve_on(listening_socket(settings.host, settings.port)))


if __name__ == "__main__":
    main()

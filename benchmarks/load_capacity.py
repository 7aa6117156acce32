"""How much can the load generator drive, against a server that only writes one fixed answer?

A figure of the service is worth something only far below that.

    python -m benchmarks.load_capacity
"""

import asyncio
import os
from typing import Any, Final, cast

import uvloop

from benchmarks.load import SPAWN, Call, load_process, post, split_cores


class _Echo(asyncio.Protocol):
    """Answers whatever comes, as one request each, with the same bytes."""

    ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        self._transport.write(self.ANSWER)


def _echo(port: Any, core: int) -> None:
    os.sched_setaffinity(0, {core})

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def main() -> None:
    """Print how much the load generator can drive."""
    (core, *_), cores = split_cores()
    ours, theirs = SPAWN.Pipe()
    server = SPAWN.Process(target=_echo, args=(theirs, core), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/"
    with load_process(cores) as load:
        served = load.run(url, [Call(post(url, bytes(100)), b"{}")], 16, 3.0)
    server.terminate()
    print(f"{served.per_second:,.0f} requests/s, p99 {served.quantile_ms(0.99):.2f} ms")


if __name__ == "__main__":
    main()

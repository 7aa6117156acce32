"""The service as a process: listens, answers, and ends cleanly."""

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import uvicorn

from service.main import create_app
from service.settings import Settings

log = logging.getLogger("nearfit")

BACKLOG = 2048


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0 takes a free one.

    Raises:
        OSError: The address is taken, unknown, or not allowed.
    """
    family, kind, protocol, _, bound = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(bound)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@final
class Server(uvicorn.Server):
    """Uvicorn, with an exit that says what happened by its code.

    SIGTERM and Ctrl-C end it: no new connections, requests in flight finish within
    `shutdown_grace_s`, then the workers end. A second Ctrl-C does not wait for requests.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        super().__init__(
            uvicorn.Config(
                create_app(settings),
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=int(settings.shutdown_grace_s),
            )
        )

    def serve_on(self, listener: socket.socket) -> int:
        """Serve until a signal comes; return the exit code: 0 ended cleanly, 1 did not start."""
        url = address(listener)
        log.info("nearfit answers at %s", url)
        log.info("  see fits:     %s/explore", url)
        log.info("  try the API:  %s/docs", url)
        log.info("  health:       %s/readyz", url)
        log.info("  end it with Ctrl-C")
        self.run(sockets=[listener])
        if not self.started:
            return 1
        log.info("nearfit has ended")
        return 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while serving.

        Uvicorn raises them anew when it has ended, so that a clean end looks like a crash to
        whoever started the process.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Serve in a thread on a free port, and give its URL; for the demo and for tests."""
    listener = listening_socket(settings.host, settings.port)
    server = Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()

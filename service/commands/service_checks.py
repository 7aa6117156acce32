"""What `nearfit doctor` looks at of the service: its code, its folders, its address."""

import importlib
import platform
from importlib.metadata import version

from service import __version__
from service.commands.findings import Finding, State, lacking
from service.settings import (
    PACKAGE,
    Settings,
    compiled_code_folder,
    is_writable,
    keep_compiled_code,
)


def check_version(_: Settings) -> Finding:
    """Say which nearfit and which Python this is."""
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Finding("version", State.OK, f"nearfit {__version__}, {system}")


def check_engine(settings: Settings) -> Finding:
    """Load the service with its compiled loops, as `nearfit serve` does first."""
    keep_compiled_code(settings.cache_dir)
    try:
        importlib.import_module("service.serving")
    except Exception as error:  # whatever a broken installation raises is what is to be told
        return Finding(
            "engine",
            State.FAULT,
            f"the service cannot be loaded: {type(error).__name__}: {error}",
            "install it anew: pip install --force-reinstall nearfit",
        )
    return Finding("engine", State.OK, f"numba {version('numba')}, numpy {version('numpy')}")


def check_compiled_code(settings: Settings) -> Finding:
    """Find the folder in which the native engine keeps its compiled loops."""
    folder = compiled_code_folder(settings.cache_dir)
    if folder is None or not is_writable(folder):
        return Finding(
            "compiled code",
            State.WARNING,
            f"{folder or PACKAGE} may not be written, so that each start compiles anew",
            "set NEARFIT_CACHE_DIR (or NUMBA_CACHE_DIR) to a folder that may be written",
        )
    compiled = sum(1 for _ in folder.rglob("*.nbi"))
    state = f"{compiled} compiled functions" if compiled else "empty: the first start compiles"
    return Finding("compiled code", State.OK, f"{folder} ({state})")


def check_cache(settings: Settings) -> Finding:
    """See whether the cache folder can be written, and what it has of KeOps."""
    folder = settings.cache_dir
    if not is_writable(folder):
        return Finding(
            "cache folder",
            lacking(settings.backend == "keops"),
            f"{folder} may not be written",
            "set NEARFIT_CACHE_DIR to a folder that may be written",
        )
    formulas = sum(1 for _ in (folder / "keops").rglob("nearfit_*.so"))
    return Finding("cache folder", State.OK, f"{folder} ({formulas} formulas of KeOps)")


def check_port(settings: Settings) -> Finding:
    """See whether the service could listen, or which one listens there already."""
    place = f"{settings.host}:{settings.port}"
    try:
        from service.serving import listening_socket
    except Exception:  # `check_engine` has said so
        return Finding("port", State.WARNING, f"{place} was not tried: the engine has a fault")
    try:
        listening_socket(settings.host, settings.port).close()
    except OSError as error:
        if _answers(settings):
            return Finding("port", State.OK, f"a nearfit answers at {place} already")
        return Finding(
            "port",
            State.FAULT,
            f"cannot listen on {place} ({error.strerror or error})",
            "choose another with NEARFIT_HOST and NEARFIT_PORT",
        )
    return Finding("port", State.OK, f"{place} is free")


def check_proxy(settings: Settings) -> Finding:
    """See whether programs on this machine would ask a proxy for the service."""
    from urllib.request import getproxies, proxy_bypass

    if "http" in getproxies() and not proxy_bypass(settings.host):
        return Finding(
            "proxy",
            State.WARNING,
            f"HTTP_PROXY is set, and would be asked for {settings.host}",
            f"add it: export NO_PROXY={settings.host},localhost",
        )
    return Finding("proxy", State.OK, f"none between programs here and {settings.host}")


def _answers(settings: Settings) -> bool:
    import httpx

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        answer = httpx.get(f"http://{host}:{settings.port}/livez", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and "alive" in answer.text

"""The Dockerfile, the compose file, the Makefile and pyproject.toml say the same.

No image is built here: these tests read the files, run the health check against a live service, and
ask `docker compose` where it is installed.
"""

import fnmatch
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service import __version__
from service.api.guide import SITE
from service.settings import Settings
from tests.live import live_client

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
COMPOSE = read("docker-compose.yml")


def logical_lines(text: str) -> list[str]:
    """Return the lines without comments, continued ones as one."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in "\n".join(kept).replace("\\\n", " ").splitlines()]


def stages() -> dict[str, list[str]]:
    """Return the instructions of each stage of the Dockerfile, by its name."""
    found: dict[str, list[str]] = {}
    for line in logical_lines(read("Dockerfile")):
        if line.startswith("FROM "):
            found[line.split(" AS ")[1]] = []
        if line and found:
            list(found.values())[-1].append(line)
    return found


STAGES = stages()


def instructions(name: str) -> list[str]:
    return [line for stage in STAGES.values() for line in stage if line.startswith(f"{name} ")]


def install_options(text: str) -> list[list[str]]:
    """Return the arguments of each `pip install` that reads the constraints."""
    commands = [shlex.split(line) for line in logical_lines(text) if "--constraint" in line]
    return [command[command.index("install") + 1 :] for command in commands]


def extras(requirement: str) -> set[str]:
    found = re.fullmatch(r"\.\[([\w,]+)\]", requirement)
    assert found is not None
    return set(found[1].split(","))


def names_of(requirements: list[str]) -> list[str]:
    return [re.split("[<>=]", requirement)[0] for requirement in requirements]


def test_the_images_install_as_the_makefile_does() -> None:
    (*for_people, requirement), for_benchmarks = install_options(read("Makefile"))
    assert for_benchmarks == [*for_people, requirement.replace("]", ",bench]")]
    for_people.remove("--editable")
    assert extras(requirement) == {"keops", "dev", "docs"}
    installs = {
        stage: install_options("\n".join(lines))
        for stage, lines in STAGES.items()
        if any("pip install" in line for line in lines)
    }
    assert installs == {
        "build-docs": [[*for_people, *names_of(PROJECT["optional-dependencies"]["docs"])]],
        "build-api": [[*for_people, ".[keops]"]],
        "build-gpu": [[*for_people, ".[gpu]"]],
    }
    assert {"keops", "gpu", "dev"} <= PROJECT["optional-dependencies"].keys()


def test_the_guide_is_built_where_it_is_served_and_packed() -> None:
    folder = str(SITE.relative_to(ROOT))
    wheel = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert folder in wheel["artifacts"]
    assert f"\nsite_dir: {folder}\n" in read("mkdocs.yml")
    assert f"{folder}/" in read(".gitignore").splitlines()
    assert f"GUIDE := {folder}/index.html\n" in read("Makefile")


def test_the_gpu_extra_has_the_same_keops() -> None:
    optional = PROJECT["optional-dependencies"]
    assert set(optional["keops"]) <= set(optional["gpu"])


def test_the_least_python_is_the_same_everywhere() -> None:
    (least,) = re.findall(r"^>=(3\.\d+)$", PROJECT["requires-python"])
    assert f"ARG PYTHON_VERSION={least}\n" in read("Dockerfile")
    assert f"sys.version_info < ({least.replace('.', ', ')})" in read("Makefile")
    assert f"Python {least} or later" in read("Makefile")
    assert f"Python {least} or later" in read("README.md")


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert {newest[1], PROJECT["version"]} == {__version__}
    names = re.findall(
        r"^ +(?:image: nearfit:|name: nearfit-cache-\D*)(\S+?)(?:-gpu)?$", COMPOSE, re.M
    )
    assert names == [__version__] * 4


@pytest.mark.parametrize("line", [line for line in instructions("COPY") if "--from" not in line])
def test_what_is_copied_is_there_and_not_ignored(line: str) -> None:
    *sources, _ = shlex.split(line)[1:]
    rules = [rule for rule in logical_lines(read(".dockerignore")) if rule]
    for source in sources:
        assert (ROOT / source).exists(), source
        decided = [rule for rule in rules if fnmatch.fnmatch(source, rule.removeprefix("!"))]
        assert decided[-1].startswith("!"), f"{source} is ignored"


def test_what_is_copied_between_stages_is_made_there() -> None:
    copied = [line for line in instructions("COPY") if "--from" in line]
    assert len(copied) == 5
    made = {"/opt/nearfit", STAGES_ENV["NEARFIT_CACHE_DIR"], f"/src/{SITE.relative_to(ROOT)}"}
    for line in copied:
        *options, source, target = shlex.split(line)[1:]
        assert options[0].removeprefix("--from=") in STAGES
        assert source == target
        assert source in made


def environment(stage: str) -> dict[str, str]:
    lines = [line.removeprefix("ENV ") for line in STAGES[stage] if line.startswith("ENV ")]
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line))


STAGES_ENV = environment("base")


def test_the_images_set_only_settings_that_exist() -> None:
    names = {name for stage in STAGES for name in environment(stage)}
    names |= set(re.findall(r"\b(NEARFIT_\w+)", COMPOSE))
    set_here = {name.removeprefix("NEARFIT_").lower() for name in names if "NEARFIT_" in name}
    assert set_here
    assert set_here <= Settings.model_fields.keys()


def test_the_caches_lie_in_the_volume() -> None:
    volume = STAGES_ENV["NEARFIT_CACHE_DIR"]
    assert STAGES_ENV["NUMBA_CACHE_DIR"].startswith(f"{volume}/")
    assert COMPOSE.count(f":{volume}\n") == 2
    for image in ("api", "gpu"):
        assert f"VOLUME {volume}" in STAGES[image]


@pytest.mark.parametrize("image", ["api", "gpu"])
def test_the_images_run_as_nobody_in_particular(image: str) -> None:
    assert STAGES[image][0] == f"FROM runtime AS {image}"
    assert STAGES[image][-1] == "USER 10001:10001"
    assert f"--uid {STAGES[image][-1].split(':')[1]} " in " ".join(STAGES["runtime"])


def test_the_api_is_what_is_built_without_a_target() -> None:
    assert list(STAGES)[-1] == "api"


def test_the_images_start_and_stop_the_service() -> None:
    runtime = STAGES["runtime"]
    assert 'CMD ["nearfit", "serve"]' in runtime
    assert "STOPSIGNAL SIGTERM" in runtime
    assert f"EXPOSE {Settings.model_fields['port'].default}" in runtime
    assert PROJECT["scripts"]["nearfit"] == "service.cli:main"
    (grace,) = re.findall(r"^  stop_grace_period: (\d+)s$", COMPOSE, re.MULTILINE)
    assert int(grace) > Settings.model_fields["shutdown_grace_s"].default


def health_commands() -> list[list[str]]:
    (health,) = instructions("HEALTHCHECK")
    (listed,) = re.findall(r"^    test: (\[.*\])$", COMPOSE, re.MULTILINE)
    in_image, in_compose = json.loads(health[health.index(" CMD ") + 5 :]), json.loads(listed)
    return [in_image, in_compose[1:]]


@pytest.mark.parametrize("command", health_commands(), ids=["image", "compose"])
def test_the_health_check_tells_a_live_service_from_none(command: list[str]) -> None:
    name, option, program = command
    assert (name, option) == ("python", "-c")

    def exit_code(port: int) -> int:
        run = subprocess.run(
            [sys.executable, "-c", program.replace("8000", str(port))],
            env={name: value for name, value in os.environ.items() if name != "NEARFIT_PORT"},
            capture_output=True,
            check=False,
        )
        return run.returncode

    with live_client() as client:
        assert exit_code(client.base_url.port or 0) == 0
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert exit_code(unused.getsockname()[1]) != 0


def test_the_compose_file_leaves_nothing_open() -> None:
    for line in (
        "  read_only: true",
        "  tmpfs:\n    - /tmp",
        "  cap_drop:\n    - ALL",
        "  security_opt:\n    - no-new-privileges:true",
    ):
        assert f"\n{line}\n" in COMPOSE
    assert COMPOSE.count("    <<: *hardened\n") == 2
    published = re.findall(r'^      - "(\S+:\d+)"$', COMPOSE, re.MULTILINE)
    assert published == ["127.0.0.1:8000:8000", "127.0.0.1:8001:8000"]


def test_the_compose_file_builds_the_stages() -> None:
    assert re.findall(r"^      target: (\S+)$", COMPOSE, re.MULTILINE) == ["api", "gpu"]


def test_docker_compose_reads_the_file() -> None:
    """Where `docker compose` is installed; the tests above do without it."""
    try:
        has_compose = not subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
    except OSError:
        has_compose = False
    if has_compose:
        run = subprocess.run(
            ["docker", "compose", "--profile", "gpu", "config", "--services"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert set(run.stdout.split()) == {"api", "api-gpu"}

"""The arguments of every command, with their help.

argparse, not typer: it comes with Python, and costs no start-up time and no dependency.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from service import __version__
from service.commands.failures import MEANINGS, ExitCode

DEFAULT_URL: Final = "http://127.0.0.1:8000"

UPLOAD_EXAMPLES: Final = """\
examples:
  nearfit upload mine.csv --target price
  nearfit upload mine.parquet --target price --columns area,rooms --name Flats
  zcat mine.csv.gz | nearfit upload - --format csv --target price
"""

PREDICT_EXAMPLES: Final = """\
examples:
  nearfit predict motorcycle queries.csv
  nearfit predict motorcycle queries.csv -o out.parquet --method knn --n-neighbors 7
  nearfit predict motorcycle queries.csv --include std,interval --level 0.95 -o out.csv
  nearfit predict motorcycle - --format csv < queries.csv > out.tsv
  nearfit predict motorcycle queries.csv --fit '{"method": "kriging", "length_scale": 5}' --json
"""

TUNE_EXAMPLES: Final = """\
examples:
  nearfit tune motorcycle --budget 30
  nearfit tune motorcycle --methods knn,local_polynomial --json
  nearfit tune motorcycle --selector gcv --fit '{"method": "local_linear", "bandwidth": 1}'
"""

LIST_EXAMPLES: Final = """\
examples:
  nearfit list
  nearfit list | cut -f 1
  nearfit list --url http://192.0.2.7:8000 --json
"""

RM_EXAMPLES: Final = """\
examples:
  nearfit rm ds-1479556db7d7
  nearfit list | cut -f 1 | xargs nearfit rm
"""

DOCTOR_EXAMPLES: Final = """\
examples:
  nearfit doctor
  NEARFIT_BACKEND=keops nearfit doctor --json
"""

FIT_OPTIONS: Final[tuple[tuple[str, Callable[[str], Any], str], ...]] = (
    ("method", str, "knn, nadaraya_watson, local_polynomial, local_linear, kriging, linear, auto"),
    ("n_neighbors", int, "the number of nearest rows"),
    ("bandwidth", float, "the reach of the kernel"),
    ("kernel", str, "such as gaussian, epanechnikov, tricube; of kriging matern32 and others"),
    ("degree", int, "of local_polynomial, 0 to 3"),
    ("metric", str, "euclidean, standardized or learned"),
    ("weights", str, "of knn: uniform or distance"),
    ("length_scale", float, "of kriging"),
    ("alpha", float, "of kriging: the variance of the noise over that of the surface"),
    ("ridge", float, "of local polynomials: the penalty on slopes"),
    ("robust", int, "how often outliers are weighed down, 0 to 20"),
)
"""The fields of a fit that have an option of their own; `--fit` has them all."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `nearfit`; the command is in `command`."""
    codes = "\n".join(f"  {int(code):<4}{meaning}" for code, meaning in MEANINGS.items())
    parser = _Parser(
        prog="nearfit",
        description="Predictions without training: a REST service of local fits.",
        epilog=f"exit codes:\n{codes}\n\n"
        "`nearfit COMMAND --help` has examples. More settings of the service are environment\n"
        "variables, NEARFIT_…; see docs/http.md.",
    )
    parser.add_argument("--version", action="version", version=f"nearfit {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="command")
    serve = commands.add_parser("serve", help="start the service and keep it running")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help="port to listen on, 0 for a free one (default 8000)")
    serve.add_argument("--backend", help="native or keops (default native)")
    commands.add_parser("demo", help="start, predict on real data over HTTP, print a table, stop")
    _add_upload(commands)
    _add_predict(commands)
    _add_tune(commands)
    listing = _add(commands, "list", "list the datasets of a service", LIST_EXAMPLES)
    _add_service_options(listing)
    removal = _add(commands, "rm", "remove datasets from a service", RM_EXAMPLES)
    removal.add_argument("datasets", metavar="DATASET", nargs="+", help="the id of a dataset")
    _add_service_options(removal)
    doctor = _add(
        commands, "doctor", "see whether the service can run here, and what to do", DOCTOR_EXAMPLES
    )
    _add_json(doctor)
    return parser


class _Parser(argparse.ArgumentParser):
    """Keeps the lines of examples as they are, and takes no shortened options.

    A shortened one would change its meaning when another option is added.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(
            **{
                "formatter_class": argparse.RawDescriptionHelpFormatter,
                "allow_abbrev": False,
                **given,
            }
        )

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong; the usage of some commands would fill the screen."""
        self.exit(ExitCode.USAGE, f"nearfit: {message}; `{self.prog} --help` has examples.\n")


def _add(
    commands: "argparse._SubParsersAction[_Parser]", name: str, purpose: str, examples: str
) -> argparse.ArgumentParser:
    description = purpose[0].upper() + purpose[1:] + "."
    return commands.add_parser(name, help=purpose, description=description, epilog=examples)


def _add_upload(commands: "argparse._SubParsersAction[_Parser]") -> None:
    upload = _add(commands, "upload", "upload a file as a dataset", UPLOAD_EXAMPLES)
    upload.add_argument("file", metavar="FILE", help="the rows; - for stdin, with --format")
    _add_names(upload, "--target", "the column to predict, several with commas (default the last)")
    _add_names(upload, "--columns", "the columns to keep, with commas (default all)")
    upload.add_argument("--name", help="a label for people")
    upload.add_argument("--task", help="regression or classification")
    _add_names(upload, "--categorical", "features whose levels have no order, with commas")
    upload.add_argument(
        "--ordered",
        metavar="SPEC",
        action="append",
        default=[],
        help="a feature and its levels in their order, as 'size:small|medium|large'; repeatable",
    )
    upload.add_argument("--weights", help="the column that says what each row counts")
    _add_format(upload)
    _add_service_options(upload)


def _add_predict(commands: "argparse._SubParsersAction[_Parser]") -> None:
    predict = _add(commands, "predict", "predict at the rows of a file", PREDICT_EXAMPLES)
    predict.add_argument("dataset", metavar="DATASET", help="the id of a dataset")
    predict.add_argument("queries", metavar="QUERIES", help="where; - for stdin, with --format")
    predict.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="the file to write, in the format of its suffix; - for stdout",
    )
    predict.add_argument(
        "--output-format",
        metavar="FORMAT",
        help="of the output, where its suffix does not say (default on stdout: tsv)",
    )
    fit = predict.add_argument_group("fit (default: the service chooses)")
    for field, kind, purpose in FIT_OPTIONS:
        metavar = field.rsplit("_", 1)[-1].upper()
        fit.add_argument(f"--{_dashed(field)}", type=kind, metavar=metavar, help=purpose)
    _add_fit(fit)
    wanted = predict.add_argument_group("what to add")
    _add_names(
        wanted,
        "--include",
        "std, interval, slope, gradient, quantiles, with commas; see the HTTP guide",
    )
    wanted.add_argument("--level", type=float, help="of intervals (default 0.9)")
    wanted.add_argument("--interval-kind", metavar="KIND", help="such as conformal, the default")
    wanted.add_argument("--noise", help="constant or local")
    wanted.add_argument(
        "--quantiles", type=_numbers, metavar="LEVELS", help="their levels, with commas"
    )
    _add_format(predict)
    _add_service_options(predict)


def _add_tune(commands: "argparse._SubParsersAction[_Parser]") -> None:
    tune = _add(commands, "tune", "find the best fit to a dataset", TUNE_EXAMPLES)
    tune.add_argument("dataset", metavar="DATASET", help="the id of a dataset")
    tune.add_argument("--budget", type=float, metavar="SECONDS", help="for the search (default 10)")
    _add_names(tune, "--methods", "those to compare, with commas (default all)")
    tune.add_argument("--selector", help="search (the default), cv_ls, gcv, aicc or dpill")
    _add_fit(tune)
    tune.add_argument("--group-by", metavar="FEATURE", help="leave out rows with one value of it")
    tune.add_argument("--blocks", type=int, help="leave out so many stretches of rows, in turn")
    _add_service_options(tune)


def _add_names(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, flag: str, purpose: str
) -> None:
    parser.add_argument(
        flag, type=_names, metavar="NAMES", action="extend", default=[], help=purpose
    )


def _add_fit(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument("--fit", type=_object, metavar="JSON", help="the whole fit, as in /predict")


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        help="of the input, where its suffix does not say: csv, parquet, arrow, npz, ndjson, json",
    )


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", help=f"the service (default NEARFIT_URL from the environment, or {DEFAULT_URL})"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="after which the command gives up"
    )
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the service's answer as JSON")


def _dashed(field: str) -> str:
    return field.replace("_", "-")


def _names(text: str) -> list[str]:
    """Return the names between commas; a JSON list where a name has a comma itself."""
    if text.startswith("["):
        found = _json(text)
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return found
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas between") from None


def _object(text: str) -> dict[str, Any]:
    found = _json(text)
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object, such as {{"method": "knn"}}')
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None

"""Write openapi/openapi.json: `python -m service.api.export_openapi`."""

import json
from pathlib import Path

from service.api.app import build_app
from service.engine.engine import Engine

TARGET = Path(__file__).parents[2] / "openapi" / "openapi.json"


def openapi_text() -> str:
    """Return the text of the file; the same wherever it is made."""
    app = build_app(_no_engine, max_body_bytes=1, body_timeout_s=1)
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def _no_engine() -> Engine:
    raise AssertionError("the document is made without starting the service")


if __name__ == "__main__":
    TARGET.write_text(openapi_text(), encoding="utf-8")
    print(f"Written: {TARGET}")

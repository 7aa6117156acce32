"""KServe's client against a service, in a Python of its own, which has KServe and not nearfit.

    python kserve_client.py URL

It prints what the client makes of the answers, as JSON; test_kserve_client.py looks at it.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "motorcycle"
QUERIES = np.linspace(3.0, 57.0, 11).reshape(-1, 1)
FIT = {"method": "local_linear", "n_neighbors": 20}


async def main(url: str) -> None:
    """Ask for readiness, and for estimates with JSON and bytes each way."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    found: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, MODEL),
        "estimates": [],
    }
    for asks_binary in (False, True):
        for answers_binary in (None, False, True):
            points = InferInput("x", list(QUERIES.shape), "FP64")
            points.set_data_from_numpy(QUERIES, binary_data=asks_binary)
            wanted = [RequestedOutput("y", parameters={"binary_data": answers_binary})]
            request = InferRequest(
                MODEL,
                [points],
                request_outputs=None if answers_binary is None else wanted,
                parameters=FIT,
            )
            answer = await client.infer(url, request, model_name=MODEL)
            found["estimates"].append(answer.outputs[0].as_numpy().tolist())
    try:
        await client.infer(url, InferRequest("nope", [points]), model_name="nope")
    except Exception as error:  # httpx's, of that Python
        found["refusal"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

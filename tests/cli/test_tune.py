"""`nearfit tune`."""

import json

from tests.cli.conftest import Nearfit


def test_the_candidates_come_the_best_first(nearfit: Nearfit) -> None:
    ran = nearfit("tune", "motorcycle", "--budget", "0.5", "--methods", "knn,local_polynomial")
    assert ran.code == 0, ran.err
    errors = [float(error) for error, *_ in ran.rows if error]
    assert errors
    assert errors == sorted(errors)
    fits = [json.loads(fit) for *_, fit in ran.rows]
    assert {fit["method"] for fit in fits} <= {"knn", "local_polynomial"}


def test_json_is_the_job(nearfit: Nearfit) -> None:
    fit = json.dumps({"method": "local_linear", "kernel": "gaussian", "bandwidth": 1})
    ran = nearfit("tune", "motorcycle", "--selector", "gcv", "--fit", fit, "--json")
    assert ran.code == 0, ran.err
    job = json.loads(ran.out)
    assert job["state"] == "done"
    assert job["best"]["fit"]["bandwidth"] > 0
    assert len(job["scores"]) > 1


def test_a_curve_is_ranked_by_its_criterion(nearfit: Nearfit) -> None:
    fit = json.dumps({"method": "local_linear", "kernel": "gaussian", "bandwidth": 1})
    options = ("--selector", "aicc", "--fit", fit, "--budget", "60")
    best = json.loads(nearfit("tune", "motorcycle", *options, "--json").out)["best"]
    first = nearfit("tune", "motorcycle", *options).rows[0]
    assert json.loads(first[3])["bandwidth"] == best["fit"]["bandwidth"]


def test_what_does_not_go_together_is_refused_by_the_service(nearfit: Nearfit) -> None:
    ran = nearfit("tune", "motorcycle", "--selector", "gcv")
    assert (ran.code, ran.out) == (1, "")
    assert "The selector 'gcv' chooses the reach of a fit" in ran.err

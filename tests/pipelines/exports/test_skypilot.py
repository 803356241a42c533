"""Tasks for SkyPilot: what its schema lets through, and where else a task may run."""

import jsonschema
import pandas as pd
import pytest
import yaml

from pipelines.exports.skypilot import write_tasks
from pipelines.testing import SKYPILOT_TASK


def test_tasks_of_machines_of_other_sizes_are_kept_apart(tmp_path):
    ids = [
        "gcp/us-a/z/h8/spot/",
        "runpod/unstated//x1/on_demand/",
        "lambdalabs/us/z/x8/spot/",
        "vultr/a//b/spot/",
    ]
    rows = pd.DataFrame(
        {
            "workload": "w in a/b",
            "offer_id": ids,
            "provider": [i.split("/")[0] for i in ids],
            "instances": [2.0, 3.0, 1.0, 1.0],
            "gpu_model": "A100-40GB",
            "gpus": [16.0, 3.0, 8.0, 1.0],
        }
    )
    assert write_tasks(rows, tmp_path) == (3, ["vultr"])
    first, second, third = (
        yaml.safe_load((tmp_path / f"w-in-a-b-{n}.yaml").read_text()) for n in (1, 2, 3)
    )
    for task in (first, second, third):
        jsonschema.validate(task, SKYPILOT_TASK)
    spot = {"accelerators": "A100:8", "use_spot": True}
    gcp, lambda_ = (
        {"infra": "gcp/us-a/z", "instance_type": "h8", **spot},
        {"infra": "lambda/us/z", **spot},
    )
    assert first["resources"]["any_of"] == [gcp, lambda_]
    assert third["resources"]["any_of"] == [lambda_, gcp]
    assert second["num_nodes"] == 3
    assert second["resources"]["any_of"] == [
        {"infra": "runpod", "accelerators": "A100:1", "use_spot": False}
    ]


@pytest.mark.parametrize(
    "change", [{"infra": "vultr"}, {"use_spot": "yes"}, {"accelerators": "A100"}, {"spot": True}]
)
def test_what_skypilot_would_refuse_fails_the_schema(change):
    place = {"infra": "gcp/us-a", "accelerators": "A100:8", "use_spot": True, **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"name": "w-1", "num_nodes": 1, "resources": {"any_of": [place]}}, SKYPILOT_TASK
        )

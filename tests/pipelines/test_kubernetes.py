"""Manifests are what Kubernetes' schemas ask for, and name what this project has."""

from pathlib import Path

import pytest
import typer
import yaml

from pipelines.cli import app
from pipelines.observe.described import METRICS

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="extra kubernetes is not installed: make platform"
)

FILE = Path("deploy/kubernetes/cloudarb.yaml")
MANIFESTS = {
    f"{made['kind']}/{made['metadata']['name']}": made
    for made in yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
}


def validate(manifest):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_schema_takes_it(name):
    validate(MANIFESTS[name])


@pytest.mark.parametrize(
    "change", [{"schedul": "0 6 * * 1"}, {"schedule": 6}, {"jobTemplate": {"spec": {}}}]
)
def test_the_schema_refuses_what_is_wrong(change):
    manifest = MANIFESTS["CronJob/cloudarb-weekly"]
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(manifest | {"spec": manifest["spec"] | change})


def containers(manifest):
    """Yield the containers of a manifest, wherever they stand."""
    if isinstance(manifest, dict):
        for key, value in manifest.items():
            if key in ("containers", "initContainers"):
                yield from value
            else:
                yield from containers(value)


def test_containers_call_verbs_that_there_are():
    verbs = typer.main.get_command(app).commands
    words = [each["args"] for made in MANIFESTS.values() for each in containers(made)]
    assert [args[0] for args in words] == ["collect", "run", "run", "serve"]
    for args in words:
        options = {name for option in verbs[args[0]].params for name in option.opts}
        assert {word for word in args if word.startswith("--")} <= options


def test_the_scaler_looks_at_a_metric_of_ours_and_at_the_server():
    spec = MANIFESTS["HorizontalPodAutoscaler/cloudarb-serve"]["spec"]
    (metric,) = spec["metrics"]
    assert metric["pods"]["metric"]["name"] in {told.whole_name for told in METRICS.values()}
    target = spec["scaleTargetRef"]
    assert f"{target['kind']}/{target['name']}" in MANIFESTS
    labels = MANIFESTS["Deployment/cloudarb-serve"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["Service/cloudarb-serve"]["spec"]["selector"] == labels

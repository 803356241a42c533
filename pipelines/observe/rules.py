"""Rules of a file of alerts as rules of Prometheus: the same conditions, where one runs."""

from __future__ import annotations

from typing import Any

import yaml

from pipelines.alerts.configuration import Alerts


def prometheus_rules(alerts: Alerts) -> str:
    """Return a file of rules for Prometheus.

    Parameters
    ----------
    alerts : Alerts
        The rules.

    Returns
    -------
    str
        YAML: an alert for each rule, by its key, on the metrics of ``cloudarb metrics``.
    """
    rules: list[dict[str, Any]] = [
        {
            "alert": rule.key,
            "expr": rule.expression(alerts.watch),
            "labels": {"configuration": alerts.watch},
            "annotations": {"summary": str(rule.__doc__).splitlines()[0]},
        }
        for rule in alerts.rules
    ]
    group = {"name": f"cloudarb-{alerts.watch}", "rules": rules}
    return yaml.safe_dump({"groups": [group]}, sort_keys=False)

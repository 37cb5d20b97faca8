"""Everything that the repository ships is valid, runs, and says what it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from resilim.cli import main

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.yaml"))
INPUTS = sorted([*EXPERIMENTS, *(ROOT / "models").rglob("*.yaml"), *(ROOT / "benchmarks").glob("*.yaml")])


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_every_input_is_valid(path: Path) -> None:
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code == 0, result.output


@pytest.mark.slow
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_runs_and_answers(path: Path, tmp_path: Path) -> None:
    command = ["run", str(path), "--replications", "2", "--jobs", "1", "--results", str(tmp_path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    (summary,) = tmp_path.rglob("summary.json")
    assert json.loads(summary.read_text())["replications"] == 2
    assert (summary.parent / "report.html").stat().st_size > 1_000_000
    assert (summary.parent / "resolved.json").exists()


def test_the_articles_destination_rule_is_exact() -> None:
    rule = yaml.safe_load((ROOT / "models/istio/order-service-destinationrule.yaml").read_text())
    assert rule["apiVersion"] == "networking.istio.io/v1beta1"
    assert rule["kind"] == "DestinationRule"
    assert rule["spec"] == {
        "host": "order-service",
        "trafficPolicy": {
            "connectionPool": {
                "tcp": {"maxConnections": 100},
                "http": {
                    "h2UpgradePolicy": "DEFAULT",
                    "http1MaxPendingRequests": 100,
                    "http2MaxRequests": 1000,
                },
            },
            "outlierDetection": {
                "consecutive5xxErrors": 5,
                "interval": "30s",
                "baseEjectionTime": "30s",
                "maxEjectionPercent": 50,
            },
        },
    }


def test_the_shipped_model_is_what_the_article_describes() -> None:
    model = yaml.safe_load((ROOT / "models/order-shop.yaml").read_text())
    services = model["services"]
    assert len(services) >= 7
    assert sum(version["hosts"] for version in services["order-service"]["versions"].values()) == 4
    assert {entry["kind"] for entry in model["provenance"]} >= {"assumed", "documented"}

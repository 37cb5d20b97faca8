"""A small model and experiment in a folder of their own, and ways to change them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from resilim.spec import LoadedExperiment, SpecError, load_experiment

MODEL = dedent("""\
    kind: Model
    name: small
    mesh:
      sidecar: {hop: {uniform: [1ms, 3ms]}}
    services:
      web:
        hosts: 2
        workers: 8
        queue: 10
        endpoints:
          GET /:
            steps:
              - work: {exponential: {mean: 5ms}}
              - call: cart.GET /cart
      cart:
        hosts: 4
        workers: 8
        queue: 10
        endpoints:
          GET /cart:
            steps:
              - work: 3ms
    trafficPolicies:
      cart:
        connectionPool: {http: {http2MaxRequests: 20}}
    """)

EXPERIMENT = dedent("""\
    kind: Experiment
    name: small
    model: model.yaml
    load:
      rate: 100/s
    time: {warmUp: 10s, before: 20s, fault: 30s, after: 40s}
    faults:
      - name: slow-cart
        kind: slow-host
        service: cart
        hosts: 1
        factor: 20
    arms:
      - name: today
      - name: eject
        set:
          trafficPolicies.cart.outlierDetection:
            interval: 5s
      - name: eject and retry
        from: eject
        set:
          routes.cart.retries: {attempts: 1}
    """)

RULE = dedent("""\
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: web}
    spec:
      host: web.shop.svc.cluster.local
      trafficPolicy:
        outlierDetection: {interval: 7s}
    """)


class Folder:
    """The current folder, with the files of an experiment."""

    def __init__(self, model: str = MODEL, experiment: str = EXPERIMENT) -> None:
        self.write("model.yaml", model)
        self.write("experiment.yaml", experiment)

    @staticmethod
    def write(name: str, text: str) -> None:
        Path(name).write_text(text, encoding="utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        """Replace the first `old`, which has to be there, in a file."""
        text = Path(name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new, 1))

    @staticmethod
    def load(overrides: Sequence[str] = ()) -> LoadedExperiment:
        """The experiment."""
        return load_experiment("experiment.yaml", overrides)

    @staticmethod
    def problems(overrides: Sequence[str] = ()) -> list[str]:
        """What is wrong with the experiment, as users see it."""
        with pytest.raises(SpecError) as error:
            load_experiment("experiment.yaml", overrides)
        return str(error.value).splitlines()

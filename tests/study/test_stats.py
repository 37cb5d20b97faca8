"""Envoy's statistics of a run: names, values, files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resilim.engine.simulate import simulate
from resilim.plan import plan
from resilim.plane.record import to_array
from resilim.plane.records import Bucket, Checker, Cluster, Detector, Host, Member
from resilim.spec import load_experiment
from resilim.study import envoy_stats, execute
from resilim.study.conduct import Progress, prepare, run_experiment
from resilim.study.envoy_stats import STATISTICS, cluster_statistics, stats_lines
from resilim.study.estimate import Study
from resilim.study.observation import observe
from resilim.study.store import StoreError, file_name

EXPERIMENT = Path(__file__).parents[2] / "experiments/cascading-failure.yaml"
SHORT = ("time.warmUp=0s", "time.before=1s", "time.fault=2s", "time.after=1s", "replications.min=2",
         "faults.slow-orders.until=fault.start + 1s", "faults.failing-orders.from=fault.start + 1s",
         "load.rate=50/s")  # fmt: skip
LINE = re.compile(r"((?:cluster\.outbound\|80\|[^|]*\|[a-z-]+\.default\.svc\.cluster\.local;"
                  r"|http\.outbound_0\.0\.0\.0_80;|http_local_rate_limiter)\.)(\S+): (\d+)")  # fmt: skip


def fields(record: Any) -> dict[str, float]:
    return {name: getattr(record, name) for name in record.__slots__}


def lines(
    cluster: Cluster, detector: Detector | None = None, checker: Checker | None = None, *members: Member
) -> dict[str, int]:
    found = stats_lines(
        fields(cluster),
        fields(detector or Detector()),
        fields(checker or Checker()),
        [fields(member) for member in members],
    )
    assert found == sorted(found)
    assert len(found) == len(dict(found))
    return dict(found)


def numbered(kind: Any, head: str) -> tuple[dict[str, int], dict[str, int]]:
    """A number for each field whose documentation names a statistic: by field, and by that name."""
    by_field, by_name = {}, {}
    for place, (field, column) in enumerate(kind.columns.items(), start=1000):
        name = f"{head}{column.doc.split()[0].rstrip(':')}"
        if STATISTICS.get(name, "").endswith("cluster"):
            by_field[field] = by_name[name] = place
    return by_field, by_name


def test_every_counter_of_a_record_is_written_under_its_name() -> None:
    cluster, clusters = numbered(Cluster, "")
    detector, detectors = numbered(Detector, "outlier_detection.")
    checker, checkers = numbered(Checker, "")
    wanted = clusters | detectors | checkers
    assert (len(clusters), len(detectors), len(checkers)) >= (35, 17, 4)
    written = lines(Cluster(**cluster), Detector(interval=1, **detector), Checker(interval=1, **checker))
    assert {name: written[name] for name in wanted} == wanted


def test_calls_are_completed_unless_the_client_left() -> None:
    cluster = Cluster(
        calls_ended=100,
        calls_failed=30,
        calls_left=5,
        shadows_ended=10,
        rq_uncharged=3,
        rq_4xx=2,
        rq_5xx=20,
    )  # 4 more calls failed with a grpc-status: their HTTP status is 200
    written = lines(cluster)
    assert written["upstream_rq_completed"] == 102
    assert written["upstream_rq_2xx"] == written["upstream_rq_200"] == 80
    assert written["upstream_rq_4xx"] == 2
    assert written["upstream_rq_5xx"] == 20


def test_connections_have_one_protocol() -> None:
    assert lines(Cluster(cx_total=7))["upstream_cx_http1_total"] == 7
    assert lines(Cluster(cx_total=7))["upstream_cx_http2_total"] == 0
    assert lines(Cluster(cx_total=7, multiplexed=1))["upstream_cx_http2_total"] == 7


@pytest.mark.parametrize(
    ("count", "limit", "gauge", "left"),
    [
        ("cx_active", "max_connections", "cx_open", "remaining_cx"),
        ("rq_pending", "max_pending", "rq_pending_open", "remaining_pending"),
        ("rq_active", "max_requests", "rq_open", "remaining_rq"),
        ("rq_retrying", "max_retries", "rq_retry_open", "remaining_retries"),
        ("pools_active", "max_pools", "cx_pool_open", "remaining_cx_pools"),
    ],
)
def test_a_breaker_is_open_at_its_limit(count: str, limit: str, gauge: str, left: str) -> None:
    head = "circuit_breakers.default."
    for number, is_open, remaining in ((2, 0, 1), (3, 1, 0), (5, 1, 0)):
        written = lines(Cluster(**{count: number, limit: 3}))
        assert written[head + gauge] == is_open
        assert written[head + left] == remaining
        assert sum(written[name] for name in written if name.endswith("_open")) == is_open
    assert lines(Cluster())[head + left] == 4294967295


def test_a_retry_budget_replaces_the_limit_of_retries() -> None:
    def written(retrying: int, active: int) -> tuple[int, int]:
        cluster = Cluster(
            budget_percent=20.0, budget_least=3, rq_retrying=retrying, rq_active=active, rq_pending=1
        )
        found = lines(cluster)
        head = "circuit_breakers.default."
        return found[f"{head}rq_retry_open"], found[f"{head}remaining_retries"]

    assert written(2, 5) == (0, 0)
    assert written(3, 5) == (1, 0)
    assert written(3, 18) == (1, 0)
    assert written(3, 19) == (0, 0)
    assert written(4, 19) == (1, 0)


def test_hosts_are_counted_by_their_state() -> None:
    members = [
        Member(),
        Member(ejected=1),
        Member(check_failed=1),
        Member(ejected=1, check_failed=1),
        Member(degraded=1),
        Member(degraded=1, ejected=1),
        Member(excluded=1, check_failed=1),
        Member(removed=1),
    ]
    written = lines(Cluster(), None, Checker(interval=1), *members)
    assert written["membership_total"] == 7
    assert written["membership_healthy"] == 1
    assert written["membership_degraded"] == 1
    assert written["membership_excluded"] == 1
    assert written["health_check.healthy"] == 4


def test_what_is_not_configured_has_no_statistics() -> None:
    written = lines(Cluster())
    assert not [name for name in written if name.startswith(("outlier_detection.", "health_check."))]
    assert len([name for name in lines(Cluster(), Detector(interval=1)) if "outlier" in name]) == 19


def test_names_of_files_are_plain_and_differ() -> None:
    assert file_name("with-limits_2.0") == "with-limits_2.0"
    hostile = ["With", "with.", "..", ".", "", "a/b", "a\\b", "../x", "con:", "x" * 300, "X" * 300, "\udc80",
               "a\0b", "ä", "é\n", "-rf", "~", "nul "]  # fmt: skip
    made = [file_name(name) for name in hostile]
    assert len({name.lower() for name in made} | {"with", "a-b"}) == len(hostile) + 2
    for name in made:
        assert re.fullmatch(r"[a-z0-9-]{0,40}~[0-9a-f]{10}", name), name


# ---------------------------------------------------------------- whole runs


def study(*changes: str) -> Study:
    return prepare(load_experiment(EXPERIMENT, (*SHORT, *changes)))


def conduct(folder: Path, *changes: str, **options: object) -> tuple[Path, list[str]]:
    said: list[str] = []
    progress = Progress(said.append, lambda done, total: None)
    _, store = run_experiment(study(*changes), folder, progress, "python", **options)  # type: ignore[arg-type]
    return store.folder, said


def test_a_block_stands_for_each_proxy(tmp_path: Path) -> None:
    folder, _ = conduct(tmp_path, jobs=1, stats=True)
    names = sorted(str(path.relative_to(folder)) for path in (folder / "stats").rglob("*.*"))
    assert names == ["stats/with/0.txt", "stats/with/1.txt", "stats/without/0.txt", "stats/without/1.txt"]
    blocks = (folder / "stats/with/0.txt").read_text().split("\n\n")
    planned = study().plans[1].names
    proxies = [block.splitlines()[0].removeprefix("# ") for block in blocks]
    assert proxies == [host for host in planned.hosts if host in {name for name, _, _ in planned.clusters}]
    total = 0
    for block in blocks:
        found = [LINE.fullmatch(line) for line in block.splitlines()[1:]]
        assert all(found)
        assert {match[2] for match in found if match} <= set(STATISTICS)
        total += sum(int(match[3]) for match in found if match and match[2] == "upstream_rq_total")
    assert total > 50


def test_the_client_has_a_proxy_when_it_is_inside_the_mesh(tmp_path: Path) -> None:
    folder, _ = conduct(tmp_path, "load.client.sidecar=true", jobs=1, stats=True)
    text = (folder / "stats/without/0.txt").read_text()
    assert text.startswith("# client\ncluster.outbound|80||")


def test_workers_do_not_change_the_files_nor_the_summary(tmp_path: Path) -> None:
    one, _ = conduct(tmp_path / "one", jobs=1, stats=True)
    two, _ = conduct(tmp_path / "two", jobs=2, stats=True)
    without, _ = conduct(tmp_path / "without", jobs=1)
    for path in (one / "stats").rglob("*.txt"):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
    assert not (without / "stats").exists()
    assert (one / "summary.json").read_bytes() == (without / "summary.json").read_bytes()


def test_stored_runs_without_statistics_are_computed_for_them(tmp_path: Path) -> None:
    folder, _ = conduct(tmp_path, jobs=1)
    runs = (folder / "runs.jsonl").read_bytes()
    _, said = conduct(tmp_path, jobs=1, stats=True)
    assert any("4 stored runs have no statistics" in line for line in said)
    assert (folder / "runs.jsonl").read_bytes() == runs
    wanted = folder / "stats/with/1.txt"
    text = wanted.read_bytes()
    wanted.unlink()
    _, said = conduct(tmp_path, jobs=1, stats=True)
    assert any("1 stored run has no statistics" in line for line in said)
    assert wanted.read_bytes() == text
    _, said = conduct(tmp_path, jobs=1, stats=True)
    assert any("all 4 runs are stored already" in line for line in said)
    _, said = conduct(tmp_path, "replications.min=3", jobs=1, stats=True)
    assert not any("no statistics" in line for line in said)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    folder, _ = conduct(tmp_path, jobs=1)
    (folder / "stats").write_text("in the way")
    with pytest.raises(StoreError, match="stats"):
        conduct(tmp_path, jobs=1, stats=True)


def test_a_stored_run_of_another_version_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conduct(tmp_path, jobs=1)
    monkeypatch.setattr(execute, "observe", lambda *a: replace(observe(*a), recording="another"))
    with pytest.raises(StoreError, match="--fresh"):
        conduct(tmp_path, jobs=1, stats=True)


RETRIES = Path(__file__).parents[1] / "published/experiments/retries.yaml"


@pytest.mark.parametrize("arm", [0, 1])
def test_the_statistics_of_the_client_are_what_it_saw(arm: int) -> None:
    planned = plan(load_experiment(RETRIES).arms[arm])
    recording = simulate(planned.run.with_seed(7), "python")
    rows = recording.rows
    failed = int((rows["code"] == 503).sum())
    attempts = int(rows["attempts"].sum())
    written = dict(cluster_statistics(recording, 0))
    assert planned.names.clusters == (("client", "server", ""),)
    assert failed > 5
    wanted = {
        "upstream_rq_completed": len(rows),
        "upstream_rq_2xx": len(rows) - failed,
        "upstream_rq_5xx": failed,
        "upstream_rq_503": failed,
        "upstream_rq_total": attempts,
        "upstream_rq_retry": attempts - len(rows),
        "retry.upstream_rq_5xx": attempts - len(rows),
        "upstream_rq_retry_limit_exceeded": failed if arm else 0,
        "upstream_rq_retry_success": int(((rows["attempts"] > 1) & (rows["code"] == 200)).sum()),
        "membership_total": 4,
        "membership_healthy": 4,
        "upstream_rq_active": 0,
    }
    assert {name: written[name] for name in wanted} == wanted
    assert (
        written["upstream_cx_total"] == written["upstream_cx_active"] <= written["upstream_rq_pending_total"]
    )


def test_a_rate_limit_is_that_of_its_hosts_proxy() -> None:
    planned = study().plans[0]
    recording = simulate(planned.run, "python")
    hosts = recording.hosts.copy()
    hosts["bucket"][2] = 0
    bucket = to_array(Bucket, [Bucket(counted=9, ok=5, limited=4, refused=3)])
    text = envoy_stats.stats_text(replace(recording, hosts=hosts, buckets=bucket), planned.names)
    (block,) = [block for block in text.split("\n\n") if "rate_limit" in block]
    assert block.startswith(f"# {planned.names.hosts[2]}\n")
    head = "http_local_rate_limiter.http_local_rate_limit."
    assert block.strip().endswith(f"{head}enabled: 9\n{head}enforced: 3\n{head}ok: 5\n{head}rate_limited: 4")
    assert Host().bucket == -1

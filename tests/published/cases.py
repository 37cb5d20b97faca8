"""The cases: which number of which source is compared with which number of which experiment, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

HERE = Path(__file__).parent
REPLICATIONS = 20

Check = Literal["equal", "interval", "within", "band", "above", "less than"]


class _Case(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Case):
    """One number."""

    id: str
    arm: str
    metric: str
    measured: float | None = None  # in the unit of the metric
    spread: float = 0.0  # standard deviation over the repetitions of the measurement
    check: Check
    tolerance: Annotated[str, Field(pattern=r"^[0-9.]+( %)?$")] = ""  # within: of the unit, or percent of it
    against: str = ""  # less than: another arm
    known: str = ""  # why it does not agree, where that is known

    @property
    def allowed(self) -> float:
        """The largest difference that `within` allows, in the unit of the metric."""
        number = float(self.tolerance.removesuffix(" %"))
        return number / 100 * abs(self.measured or 0.0) if self.tolerance.endswith("%") else number


class Table(_Case):
    """Numbers of one source, and the experiment that is compared with them."""

    title: str
    source: str  # who measured what, and where it is published if it is
    experiment: str
    repetitions: int = 1  # of the measurement
    replications: int = REPLICATIONS  # of the simulation
    vary: dict[
        str, tuple[str, ...]
    ] = {}  # path of the experiment -> values, taken in turn by the replications
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...]

    @property
    def path(self) -> Path:
        """The file of the experiment."""
        return HERE / "experiments" / self.experiment

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are needed, each once."""
        return tuple(dict.fromkeys(arm for row in self.rows for arm in (row.arm, row.against) if arm))

    def changes(self, replication: int) -> tuple[str, ...]:
        """What `vary` changes in one replication, as the command line writes it."""
        return tuple(f"{path}={values[replication % len(values)]}" for path, values in self.vary.items())


def tables() -> list[Table]:
    """All tables, in the order of their files."""
    return [_read(path) for path in sorted((HERE / "cases").glob("*.yaml"))]


def _read(path: Path) -> Table:
    data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Table.model_validate(data)

"""The cells that answer a request. No torch: planning is instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

from icd_bench.api import BenchmarkInfo, Method, MethodInfo, Setting
from icd_bench.file_names import file_name_with_digest
from icd_bench.protocols import NATIVE
from icd_bench.run.cells import CellIdentity, canonical_json, content_id, inversion_id
from icd_bench.run.planning.rows import Row, UnusableRow
from icd_bench.run.planning.seeds import sample_seed
from icd_bench.run.planning.sources import Model

MOST_NAMED = 4
"""Methods that the name of a run's folder tells."""


@dataclass(frozen=True)
class PlannedMethod:
    """A method with the settings that it shall be run with."""

    method: Method
    settings: tuple[Setting, ...]
    default: Setting
    """Its setting for this model where nobody sets anything."""

    @property
    def info(self) -> MethodInfo:
        """The method's card."""
        return self.method.info


@dataclass(frozen=True)
class Group:
    """Settings of one method that share their inversions."""

    planned: PlannedMethod
    settings: tuple[Setting, ...]

    @property
    def method(self) -> Method:
        """The method."""
        return self.planned.method


@dataclass(frozen=True)
class PlannedCell:
    """One cell that the plan asks for."""

    id: str
    group: Group
    setting: Setting
    row: Row | UnusableRow


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do, resolved."""

    methods: tuple[PlannedMethod, ...]
    benchmark: BenchmarkInfo
    split: str
    """Text after the colon of the benchmark's reference; empty for its default."""
    model: Model
    rows: tuple[Row, ...]
    unusable: tuple[UnusableRow, ...]
    seed: int
    metrics: tuple[str, ...] | None
    protocol: str = NATIVE.name
    subset: str = ""
    """Name of the part of the benchmark that the rows are; empty: its first ones, or all."""

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Methods and settings, grouped by what they invert with."""
        groups: dict[str, Group] = {}
        for planned in self.methods:
            for setting in planned.settings:
                key = canonical_json([planned.info.name, setting.inversion_fields()])
                group = groups.setdefault(key, Group(planned, ()))
                groups[key] = replace(group, settings=(*group.settings, setting))
        return tuple(groups.values())

    @property
    def all_rows(self) -> tuple[Row | UnusableRow, ...]:
        """The rows that can be used, then the others."""
        return (*self.rows, *self.unusable)

    @property
    def coverage(self) -> int:
        """Number of the benchmark's rows that the plan covers, usable or not."""
        return len(self.all_rows)

    @property
    def data_digest(self) -> str:
        """Return the SHA-256 over the digests of all rows, in order."""
        return sha256("\n".join(row.digest for row in self.all_rows).encode()).hexdigest()

    def seed_of(self, sample_id: str) -> int:
        """Return the seed of a sample's noise."""
        return sample_seed(self.seed, sample_id)

    def model_digest(self, method: Method, setting: Setting) -> str:
        """Return the digest of the model's weights that a method uses with a setting."""
        return self._model_digests[needs_of(method.info, setting)]

    @cached_property
    def _model_digests(self) -> dict[frozenset[str], str]:
        needs = {needs_of(p.info, setting) for p in self.methods for setting in p.settings}
        return {one: self.model.digest(one) for one in needs}

    @property
    def model_commits(self) -> dict[str, str]:
        """Commit of each hub repository whose weights some cell needs."""
        return self.model.commits(all_needs(self.methods))

    def cell(self, group: Group, setting: Setting, row: Row | UnusableRow) -> PlannedCell:
        """Return the cell of a setting and a row."""
        identity = CellIdentity(
            method=group.method.info.name,
            version=group.method.info.version,
            model=self.model_digest(group.method, setting),
            setting=setting.model_dump(mode="json"),
            sample=row.digest,
            seed=self.seed_of(row.sample_id),
            protocol=self.protocol,
        )
        return PlannedCell(identity.cell_id(), group, setting, row)

    def inversion_id(self, group: Group, row: Row | UnusableRow) -> str:
        """Return the name of the inversion of a sample for a group."""
        info = group.method.info
        return inversion_id(
            method=info.inversion or info.name,
            version="" if info.inversion else info.version,
            model=self.model_digest(group.method, group.settings[0]),
            inversion_fields=group.settings[0].inversion_fields(),
            sample=row.digest,
            seed=self.seed_of(row.sample_id),
            protocol=self.protocol,
        )

    @cached_property
    def cells(self) -> tuple[PlannedCell, ...]:
        """All cells in the order method, setting, row."""
        return tuple(
            self.cell(group, setting, row)
            for group in self.groups
            for setting in group.settings
            for row in self.all_rows
        )

    def name(self) -> str:
        """Return a folder name: what is run in words, without reference lines, and a digest."""
        digest = content_id(
            {
                "methods": [
                    [
                        m.info.name,
                        m.info.version,
                        self.model_digest(m.method, s),
                        s.model_dump(mode="json"),
                    ]
                    for m in self.methods
                    for s in m.settings
                ],
                "benchmark": [self.benchmark.name, self.split],
                "rows": [row.sample.digest for row in self.rows],
                "seed": self.seed,
                "protocol": self.protocol,
            }
        )
        names = [planned.info.name for planned in self.methods if not planned.info.anchor]
        if len(names) > MOST_NAMED:
            names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1}-more"]
        bench = self.benchmark.name + (f"-{self.split}" if self.split else "")
        size = self.subset or f"n{self.coverage}"
        words = [*filter(None, ["+".join(names)]), bench, self.model.name, size]
        return file_name_with_digest("-".join(words), digest)


def needs_of(info: MethodInfo, setting: Setting) -> frozenset[str]:
    """Return the parts of a model that a method needs with a setting."""
    return frozenset((*info.needs, *setting.needs))


def all_needs(planned: Sequence[PlannedMethod]) -> frozenset[str]:
    """Return the parts of a model that some setting of some method needs."""
    return frozenset().union(*(needs_of(p.info, s) for p in planned for s in p.settings))

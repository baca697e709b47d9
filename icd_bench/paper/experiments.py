"""What is compared: the rows of the paper's tables, and the sweeps behind its figures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from .walks import UNGUIDED, Guidance, Walk

GUIDED: Final = Guidance(8.0)
"""The scale of the paper's tables."""
DYNAMIC: Final = Guidance(8.0, 0.7)

Kind = Literal["inversion", "generation"]


@dataclass(frozen=True)
class Configuration:
    """One row: how pictures become noise, and noise pictures."""

    label: str
    title: str
    """As the paper prints it; the published number is found by it."""
    encode: Walk | None
    """None draws fresh noise."""
    decode: Walk | None
    """None stops at the noise."""
    group: str = ""
    """Heading in a table, curve in a figure."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a model that it needs."""
        walks = [walk for walk in (self.encode, self.decode) if walk]
        return tuple(dict.fromkeys(part for walk in walks for part in walk.parts))


@dataclass(frozen=True)
class Claim:
    """What the paper finds: one row is better than another.

    Args:
        worse: label of a row.
        better: label of the row that is better.
        metrics: by these; none means all of pictures that the table has.
    """

    worse: str
    better: str
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """A table or a figure."""

    name: str
    title: str
    published: str
    """What the published tables' names start with; empty where no numbers are printed."""
    configurations: tuple[Configuration, ...]
    claims: tuple[Claim, ...] = ()
    is_figure: bool = False


def table1(steps: int, parts: Collection[str]) -> Experiment:
    """Guidance of the encoder against the likelihood of its latents and what is decoded.

    The encoder is DDIM with the guidance-distilled U-Net, the teacher of both consistency models;
    the decoder is the reverse consistency model.
    """
    guidances = {
        "unguided": UNGUIDED,
        "d.CFG .6": Guidance(8.0, 0.6),
        "d.CFG .8": Guidance(8.0, 0.8),
        "CFG": GUIDED,
    }
    encoders = {name: Walk("cfg_distilled", steps, g) for name, g in guidances.items()}
    likelihoods = [
        Configuration(f"encoder {name}", f"encoder {name}", walk, None, "latents")
        for name, walk in encoders.items()
    ]
    likelihoods += [
        Configuration(f"fCD {name}", f"forward consistency model {name}",
                      Walk(f"icd_forward:{name}"), None, "latents")
        for name in ("4a-plain", "4a") if f"icd_forward:{name}" in parts
    ]  # fmt: skip
    decoded = [
        Configuration(
            f"{decoder} < {encoder}",
            f"decoder {decoder} with encoder {encoder}",
            walk,
            Walk("icd_reverse:4a", 0, guidance),
            f"decoder {decoder}",
        )
        for decoder, guidance in guidances.items()
        for encoder, walk in encoders.items()
    ]
    names = [f"encoder {name}" for name in guidances]
    claims = [Claim(worse, better, ("latent_nll",)) for better, worse in pairwise(names)]
    return Experiment(
        "table1", "Guidance of the encoder", "Table 1", (*likelihoods, *decoded), tuple(claims)
    )


def table2(steps: int, parts: Collection[str]) -> Experiment:
    """Inversion quality by configuration: unguided, and decoded at guidance 8."""
    del steps, parts
    rows = (
        ("DDIM", "DDIM 50, unguided", "", "", UNGUIDED),
        ("A", "A: 2+2 steps", "2-plain", "2-plain", UNGUIDED),
        ("B", "B: 3+3 steps", "3-plain", "3-plain", UNGUIDED),
        ("C", "C: 4+4 steps", "4a-plain", "4a-plain", UNGUIDED),
        ("E", "E: encoder regime", "4a-encoder", "4a-plain", UNGUIDED),
        ("F", "F: + forward preservation", "4a-forward", "4a-plain", UNGUIDED),
        ("G", "G: + both preservation losses", "4a", "4a", UNGUIDED),
        ("DDIM-8", "DDIM 50, guided 8", "", "", GUIDED),
        ("DDIM-d", "DDIM 50, guided 8, d.CFG", "", "", DYNAMIC),
        ("H", "H: 4+4 steps, guided 8", "4a-plain", "4a-plain", GUIDED),
        ("I", "I: + d.CFG", "4a-plain", "4a-plain", DYNAMIC),
        ("J", "J: + forward preservation", "4a-forward", "4a-plain", DYNAMIC),
        ("K", "K: + reverse preservation", "4a", "4a", DYNAMIC),
    )
    better = ("A", "B", "C", "F", "G"), ("H", "I", "J", "K"), ("DDIM-8", "DDIM-d")
    claims = [Claim(a, b) for order in better for a, b in pairwise(order)]
    return Experiment(
        "table2",
        "Inversion quality",
        "Table 2",
        tuple(_round_trip(*row) for row in rows),
        (*claims, *(Claim("E", other) for other in ("A", "B", "C", "F", "G"))),
    )


def table4(steps: int, parts: Collection[str]) -> Experiment:
    """Generation at guidance 8, with and without dynamic guidance."""
    del steps
    three = "icd_reverse:3" if "icd_reverse:3" in parts else "icd_reverse:3-plain"
    four = "icd_reverse:4a"
    rows = (
        ("DDIM", "DDIM 50", Walk("base", 50, GUIDED)),
        ("CD4", "CD, 4 steps", Walk(four, 0, GUIDED)),
        ("CD3", "CD, 3 steps", Walk(three, 0, GUIDED)),
        ("CD4 .8", "CD, 4 steps, tau .8", Walk(four, 0, replace(GUIDED, tau=0.8))),
        ("CD4 .7", "CD, 4 steps, tau .7", Walk(four, 0, DYNAMIC)),
        ("CD3 .7", "CD, 3 steps, tau .7", Walk(three, 0, DYNAMIC)),
    )
    return Experiment(
        "table4",
        "Generation under dynamic guidance",
        "Table 4",
        tuple(Configuration(label, title, None, walk) for label, title, walk in rows),
        (Claim("CD4 .7", "CD4 .8", ("clip_text",)), Claim("CD4 .8", "CD4", ("clip_text",))),
    )


def fig4(steps: int, parts: Collection[str]) -> Experiment:
    """When guidance of scale 8 turns on: what it costs in reconstruction."""
    del parts
    walks = {
        f"DDIM {steps}": (Walk("cfg_distilled", steps), Walk("cfg_distilled", steps)),
        "iCD, 4 + 4": (Walk("icd_forward:4a"), Walk("icd_reverse:4a")),
        "without losses": (Walk("icd_forward:4a-plain"), Walk("icd_reverse:4a-plain")),
    }
    fine, coarse = (0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1), (0, 0.3, 0.6, 0.8, 1)
    rows = [
        Configuration(f"{name} {tau:g}", "", up, replace(down, guidance=Guidance(8.0, tau)), name)
        for name, (up, down) in walks.items()
        for tau in (fine if down.steps else coarse)
    ]
    return Experiment("fig4", "Turn-on threshold of guidance", "", tuple(rows), is_figure=True)


def fig5(steps: int, parts: Collection[str]) -> Experiment:
    """Scale and tau of dynamic guidance: reconstruction against what generation gains."""
    del steps, parts
    rows = [
        Configuration(
            f"{kind} {scale:g} {tau:g}", "", up,
            Walk("icd_reverse:4a", 0, Guidance(scale, tau)), f"{kind} at {scale:g}",
        )
        for kind, up in (("inverted", Walk("icd_forward:4a")), ("generated", None))
        for scale in (2.0, 4.0, 8.0, 20.0)
        for tau in (0, 0.3, 0.6, 0.8, 1)
    ]  # fmt: skip
    return Experiment("fig5", "Scale and tau of dynamic guidance", "", tuple(rows), is_figure=True)


EXPERIMENTS: Final[dict[str, Callable[[int, Collection[str]], Experiment]]] = {
    "table1": table1,
    "table2": table2,
    "table4": table4,
    "fig4": fig4,
    "fig5": fig5,
}
"""Name -> maker of (steps of a multi-step encoder, names of the model's parts)."""

GENERATED: Final = frozenset({"table4"})
"""Those that need captions alone."""


def needed_parts(names: Iterable[str], parts: Collection[str]) -> set[str]:
    """Return the parts that these experiments read of a model.

    Args:
        names: of ``EXPERIMENTS``.
        parts: names of the model's parts. Rows that ask for another one are never measured with
            it, so they need nothing.
    """
    # The number of steps changes no part.
    rows = (row for name in names for row in EXPERIMENTS[name](1, parts).configurations)
    return {part for row in rows if set(row.parts) <= set(parts) for part in row.parts}


def by_encoder(rows: Sequence[Configuration]) -> dict[Walk | None, list[Configuration]]:
    """Return the rows by what they share: the way to noise."""
    found: dict[Walk | None, list[Configuration]] = {}
    for row in rows:
        found.setdefault(row.encode, []).append(row)
    return found


def _round_trip(
    label: str, title: str, forward: str, reverse: str, guidance: Guidance
) -> Configuration:
    """Return a row of table 2: iCD with the adapters of these names, or DDIM in 50 steps."""
    group = "unguided" if guidance == UNGUIDED else "guided 8"
    up = Walk(f"icd_forward:{forward}") if forward else Walk("base", 50)
    down = Walk(f"icd_reverse:{reverse}", 0, guidance) if reverse else Walk("base", 50, guidance)
    return Configuration(label, title, up, down, group)

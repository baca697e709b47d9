"""The promises of a method, one function each, in the order in which they are told."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import torch
from safetensors.torch import load, save
from torch import Tensor

from icd_bench import registry
from icd_bench.api import Inversion
from icd_bench.contract.subject import Subject, rows_of
from icd_bench.run.caches.inversions import join_inversions, split_inversion
from icd_bench.run.planning.settings import resolve_settings

TOLERANCE = 1e-4
"""Largest difference of two pictures in [0, 1] that must be equal, batched one way or another."""
KNOWN_NEEDS = ("icd", "cfg_distilled", "lcm")
ARXIV = re.compile(r"\d{4}\.\d{4,5}")


class Broken(Exception):
    """A promise that the method does not keep; the message says how."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Args:
        name: of the promise.
        kept: whether the method keeps it.
        detail: what was measured, or how it is broken.
    """

    name: str
    kept: bool
    detail: str


Check = Callable[[Subject], str]
"""Returns what was measured; raises Broken."""


def declared(subject: Subject) -> str:
    """Its card is complete and its settings explain themselves."""
    info, schema = subject.method.info, subject.method.Setting
    for fact in ("name", "version", "title", "paper"):
        expect(bool(getattr(info, fact)), f"info.{fact} is empty")
    unknown = set(info.needs) - set(KNOWN_NEEDS)
    expect(not unknown, f"info.needs names {sorted(unknown)}; known: {', '.join(KNOWN_NEEDS)}")
    named = subject.reference in registry.methods.names()
    expect(
        not named or info.name == subject.reference,
        f'it is registered as "{subject.reference}" and calls itself "{info.name}"',
    )
    for name, field in schema.model_fields.items():
        extra = field.json_schema_extra
        staged = isinstance(extra, dict) and extra.get("stage") in ("inversion", "edit")
        expect(staged, f'setting "{name}": declare it with inversion_field or edit_field')
        expect(bool(field.description), f'setting "{name}" has no description')
    for model in info.defaults:
        resolve_settings(info, schema, model)
    for preset, values in info.presets.items():
        for model in ("", *values.by_model):
            resolve_settings(info, schema, model, preset=preset)
    points = resolve_settings(info, schema, "", default_sweep=bool(info.sweep))
    cited = "" if ARXIV.search(info.paper) else ", no arXiv id in info.paper"
    return f"{len(schema.model_fields)} settings, default sweep of {len(points)}{cited}"


def light(subject: Subject) -> str:
    """Importing it does not import torch, so that listing methods stays instant."""
    kind = type(subject.method)
    origin = sys.modules[kind.__module__].__file__
    if origin is None:
        raise Broken(f"the module {kind.__module__} has no file")
    program = (
        "import sys, runpy\nsys.path[:] = sys.argv[2:]\n"
        "runpy.run_path(sys.argv[1])\nprint('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, origin, *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"its file cannot be run alone: {last_line(done.stderr)}")
    expect(
        done.stdout.strip() == "False",
        "it imports torch at the top; import it inside functions, or under TYPE_CHECKING",
    )
    return "no torch at import"


def sized(subject: Subject) -> str:
    """Edits are (B, K, 3, H, W), finite, in [0, 1], at the model's resolution."""
    images, side = subject.together.images, subject.backbone.resolution
    wanted = (len(subject.samples), len(subject.settings), 3, side, side)
    expect(tuple(images.shape) == wanted, f"images are {tuple(images.shape)}, not {wanted}")
    expect(images.dtype == torch.float32, f"images are {images.dtype}, not float32")
    expect(bool(images.isfinite().all()), "there are NaN or infinite pixels")
    low, high = float(images.min()), float(images.max())
    expect(low >= 0 and high <= 1, f"pixels lie in [{low:.3g}, {high:.3g}], not in [0, 1]")
    return "x".join(map(str, wanted))


def deterministic(subject: Subject) -> str:
    """The same call twice gives the same bits."""
    again = subject.edit(subject.batch, subject.settings)
    worst = largest(again.images, subject.together.images)
    expect(worst == 0, f"a second call differs by {worst:.2g}; draw noise from batch.seeds")
    return "the same bits"


def independent_of_the_global_seed(subject: Subject) -> str:
    """Noise comes from the samples' seeds alone, and the global generator is left alone."""
    before = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20_240_517)
        other = subject.edit(subject.batch, subject.settings)
    subject.edit(rows_of(subject.batch, [0]), subject.settings[:1])
    touched = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    expect(not touched, "it draws from torch's global generator")
    worst = largest(other.images, subject.together.images)
    expect(worst == 0, f"torch.manual_seed changes its edits by {worst:.2g}")
    return "noise from the samples' seeds"


def alone_as_in_a_batch(subject: Subject) -> str:
    """A sample's edit does not depend on the samples beside it."""
    worst = 0.0
    for row in range(len(subject.samples)):
        alone = subject.edit(rows_of(subject.batch, [row]), subject.settings)
        worst = max(worst, largest(alone.images[0], subject.together.images[row]))
    backwards = list(reversed(range(len(subject.samples))))
    turned = subject.edit(rows_of(subject.batch, backwards), subject.settings)
    worst = max(worst, largest(turned.images[backwards], subject.together.images))
    expect(worst <= TOLERANCE, f"alone and in a batch differ by {worst:.2g}")
    return f"largest difference {worst:.1g}"


def alone_as_in_a_sweep(subject: Subject) -> str:
    """A setting's edit and its rows do not depend on the settings beside it."""
    if len(subject.settings) == 1:
        return "it declares no sweep of edit settings: only one setting was tried"
    worst = 0.0
    for column, setting in enumerate(subject.settings):
        alone = subject.edit(subject.batch, [setting])
        worst = max(worst, largest(alone.images[:, 0], subject.together.images[:, column]))
        for row, (spent,) in enumerate(alone.nfe):
            rows = alone.source_rows(row, 0) + spent
            told = subject.together.source_rows(row, column) + subject.together.nfe[row][column]
            expect(
                rows == told,
                f"setting {column} takes {rows} rows alone and {told} in a sweep; say with "
                "nfe_source which shared rows a setting needs",
            )
    expect(worst <= TOLERANCE, f"alone and in a sweep differ by {worst:.2g}")
    return f"{len(subject.settings)} settings, largest difference {worst:.1g}"


def apart_in_threads(subject: Subject) -> str:
    """Calls at once, each with its twin of the model, do not see each other."""
    inverted = Barrier(len(subject.samples))

    def edit(row: int) -> Tensor:
        backbone, alone = subject.backbone.twin(), rows_of(subject.batch, [row])
        try:
            inversion = subject.method.invert(backbone, alone, subject.settings[0])
        finally:
            inverted.wait()  # so that what one call leaves in the method meets another's
        return subject.method.edit(backbone, alone, inversion, subject.settings).images[0]

    with ThreadPoolExecutor(len(subject.samples)) as threads:
        images = torch.stack(list(threads.map(edit, range(len(subject.samples)))))
    worst = largest(images, subject.together.images)
    expect(
        worst <= TOLERANCE,
        f"calls at once differ by {worst:.2g} from one alone; keep nothing of a call in the method",
    )
    return f"{len(images)} at once, largest difference {worst:.1g}"


def bounded(subject: Subject) -> str:
    """A limit on the rows of a U-Net call changes no edit."""
    before = subject.backbone.max_rows
    subject.backbone.max_rows = 3
    try:
        cut = subject.edit(subject.batch, subject.settings)
    finally:
        subject.backbone.max_rows = before
    worst = largest(cut.images, subject.together.images)
    expect(worst <= TOLERANCE, f"calls of at most 3 rows change its edits by {worst:.2g}")
    return f"largest difference {worst:.1g}"


def storable(subject: Subject) -> str:
    """An inversion survives the disk: saved by sample, loaded, joined, it gives the same edits."""
    inversion = subject.invert(subject.batch)
    try:
        parts = split_inversion(inversion, len(subject.samples), 0.0)
    except ValueError as error:
        raise Broken(str(error)) from error
    place = subject.method.info.noise_latents
    known = ", ".join(inversion.tensors) or "no tensor"
    expect(
        place is None or place.tensor in inversion.tensors,
        f"info.noise_latents names a tensor that the inversion lacks; it has {known}",
    )
    stored: Inversion = join_inversions(parts)
    contiguous = {name: tensor.contiguous() for name, tensor in stored.tensors.items()}
    stored.tensors = load(save(contiguous))
    edits = subject.method.edit(subject.backbone, subject.batch, stored, subject.settings)
    worst = largest(edits.images, subject.together.images)
    expect(worst == 0, f"a stored inversion gives edits that differ by {worst:.2g}")
    size = sum(t.numel() * t.element_size() for t in stored.tensors.values())
    return f"{size / len(subject.samples) / 1024:.0f} KiB a sample"


def shared_by_settings(subject: Subject) -> str:
    """The inversion reads inversion fields only."""
    first = subject.invert(subject.batch)
    for setting in subject.settings[1:]:
        other = subject.method.invert(subject.backbone, subject.batch, setting)
        expect(set(other.tensors) == set(first.tensors), "settings give other tensors")
        for name, tensor in first.tensors.items():
            changed = not torch.equal(tensor, other.tensors[name])
            expect(
                not changed,
                f'inversion tensor "{name}" changes with an edit field; declare what it reads '
                "with inversion_field",
            )
    return f"{len(first.tensors)} tensors"


def counted(subject: Subject) -> str:
    """The rows it reports are the rows that the backbone counted."""
    cost = subject.backbone.cost
    before = {stage: spent.rows for stage, spent in cost.items()}
    inversion = subject.invert(subject.batch)
    edits = subject.method.edit(subject.backbone, subject.batch, inversion, subject.settings)
    samples, settings = len(subject.samples), len(subject.settings)
    expect(len(inversion.nfe) in (0, samples), f"inversion.nfe has {len(inversion.nfe)} entries")
    expect(
        len(edits.nfe_shared) == samples and all(len(row) == settings for row in edits.nfe),
        "edits.nfe_shared needs B entries and edits.nfe B x K",
    )
    told = {
        "inversion": sum(inversion.nfe),
        "edit": sum(edits.nfe_shared) + sum(map(sum, edits.nfe)),
    }
    for stage, rows in told.items():
        spent = cost[stage].rows - before[stage]  # type: ignore[index]
        expect(rows == spent, f"{stage}: it reports {rows} rows, the backbone counted {spent}")
    invert = inversion.nfe[0] if inversion.nfe else 0
    return f"{invert} + {edits.nfe_shared[0]} + {edits.nfe[0][0]} a setting"


def tidy(subject: Subject) -> str:
    """It leaves the model as it was: weights, gradients, attention."""
    networks = [subject.backbone.networks("base"), subject.backbone.vae]
    before = [fingerprint(network) for network in networks]
    subject.edit(subject.batch, subject.settings)
    expect([fingerprint(n) for n in networks] == before, "weights or requires_grad changed")
    expect(subject.backbone.control is None, "an attention control stayed on")
    return "weights and attention as before"


def honest(subject: Subject) -> str:
    """The source is never returned as an edit in silence."""
    if subject.method.info.anchor:
        return "an anchor: it may copy"
    edits, sources = subject.together, subject.batch.images
    for row, sample in enumerate(subject.samples):
        for column in range(len(subject.settings)):
            copied = largest(edits.images[row, column], sources[row]) < 1 / 255
            warned = bool(edits.warnings and edits.warnings[row][column])
            expect(
                not copied or warned,
                f"sample {sample.id}, setting {column}: the source came back without a warning",
            )
    return "edits differ from their sources"


CHECKS: dict[str, Check] = {
    "declared": declared,
    "light import": light,
    "size": sized,
    "determinism": deterministic,
    "seeds": independent_of_the_global_seed,
    "batch invariance": alone_as_in_a_batch,
    "sweep invariance": alone_as_in_a_sweep,
    "threads": apart_in_threads,
    "micro-batches": bounded,
    "stored inversion": storable,
    "shared inversion": shared_by_settings,
    "counted rows": counted,
    "tidiness": tidy,
    "no silent copy": honest,
}


def check_method(subject: Subject) -> Iterator[Finding]:
    """Yield the outcome of every check; an exception of the method breaks only the check it ends.

    Args:
        subject: the method with what it edits.
    """
    for name, check in CHECKS.items():
        try:
            yield Finding(name, True, check(subject))
        except Broken as error:
            yield Finding(name, False, str(error))
        except Exception as error:
            # The method is somebody's code under test: whatever it raises is a finding.
            yield Finding(name, False, f"{type(error).__name__}: {error}")


def expect(kept: bool, message: str) -> None:
    """Raise Broken unless ``kept``."""
    if not kept:
        raise Broken(message)


def largest(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference."""
    return float((a - b).abs().max())


def fingerprint(network: torch.nn.Module) -> tuple[tuple[str, bool, float, object], ...]:
    """Return what must not change: each parameter's sum and flag, each layer's attention."""
    parameters = tuple(
        (name, p.requires_grad, float(p.double().sum()), None)
        for name, p in network.named_parameters()
    )
    processors = tuple(
        (name, False, 0.0, type(module.processor))
        for name, module in network.named_modules()
        if hasattr(module, "processor")
    )
    return parameters + processors


def last_line(text: str) -> str:
    """Return the last line of an error output."""
    return (text.strip().splitlines() or ["no message"])[-1]

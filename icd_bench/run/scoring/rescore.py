"""More scores for a run that is there: no diffusion model and no benchmark is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icd_bench import registry
from icd_bench.protocols import find_protocol
from icd_bench.run.manifest import protocol_of
from icd_bench.run.planning.devices import choose_device
from icd_bench.run.progress import Progress, RememberingProgress, make_progress
from icd_bench.run.scoring.score import default_metrics, load_metrics, score_cells
from icd_bench.run.storage.provenance import now
from icd_bench.run.storage.results import check_metric_name
from icd_bench.run.storage.store import RunFolder


def score_run(
    path: Path,
    metrics: Sequence[str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Compute the scores that the edits of a run lack, under the run's own protocol.

    Args:
        path: the run folder.
        metrics: names; None for all that apply.
        device: ``auto``, or a torch device.
        progress: default: a bar on a terminal, plain lines elsewhere.

    Returns:
        What was said on the way, one line each.

    Raises:
        IcdBenchError: anything that the user can mend; what is in the folder stays valid.
    """
    progress = RememberingProgress(progress or make_progress())
    for name in metrics or ():
        check_metric_name(registry.metrics.load(name).info.name)
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    protocol = find_protocol(protocol_of(manifest))
    try:
        with folder.writer() as writer:
            if metrics is None:
                samples = writer.records.samples.values()
                metrics = default_metrics(samples, protocol.metrics, progress.say)
            loaded = load_metrics(metrics, choose_device(device), progress.say)
            score_cells(writer, list(writer.records.cells), loaded, progress, protocol)
            manifest["metrics"] = writer.records.metrics
            manifest["updated"] = now()
            writer.compact()
            writer.write_manifest(manifest)
    finally:
        progress.close()
    return tuple(progress.lines)

"""Options of the commands that train real models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Option(metavar="NAME|DIR", help="Model, its folder or hub id; SD 1.x or SDXL.")
]
Data = Annotated[
    str,
    typer.Option(
        metavar="WHERE",
        help="Captioned pictures: a folder with metadata.jsonl or .txt captions, a .csv or .jsonl, "
        "webdataset .tar shards, .parquet or .arrow files, or hub:owner/name.",
    ),
]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder of log, checkpoint, pictures and model.")
]
Steps = Annotated[int, typer.Option(metavar="N", min=1, help="Steps in all.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Of all processes together.  [default: 512; SDXL 128]",
    ),
]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Rows at once on a device; gradients accumulate.  [default: a process's all]",
    ),
]
Scales = Annotated[
    str,
    typer.Option(
        metavar="X,X..",
        help="Guidance scales, 1 is unguided.  [default: 1,8,12,16,20; "
        "SDXL 1,4,6,9,10,12,13,16,18,20]",
    ),
]
LearningRate = Annotated[float, typer.Option("--lr", metavar="X", min=0.0, help="Learning rate.")]
LrSchedule = Annotated[str, typer.Option(metavar="NAME", help="constant, cosine or linear (to 0).")]
Warmup = Annotated[
    int, typer.Option(metavar="N", min=0, help="Steps in which the learning rate rises.")
]
Clip = Annotated[float, typer.Option(metavar="X", min=0.0, help="Largest norm of gradients.")]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="no, bf16 or fp16.  [default: what accelerate launch was told, else no]",
    ),
]
Checkpointing = Annotated[
    bool,
    typer.Option(
        "--gradient-checkpointing", help="Less memory for a third more time: activations twice."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of weights, data order and draws.")]
ImageColumn = Annotated[str, typer.Option(metavar="NAME", help="Column of pictures.")]
CaptionColumn = Annotated[str, typer.Option(metavar="NAME", help="Column of captions.")]
Split = Annotated[str, typer.Option(metavar="NAME", help="Split of a hub dataset.")]
Stream = Annotated[
    bool, typer.Option("--stream", help="Read a hub dataset as it comes, without keeping it.")
]
FitTo = Annotated[
    str,
    typer.Option(
        "--fit", metavar="NAME", help="To a square: crop (its middle) or squash (all of it)."
    ),
]
Workers = Annotated[
    int, typer.Option(metavar="N", min=1, help="Threads of a process that decode pictures.")
]
LogEvery = Annotated[int, typer.Option(metavar="N", min=1, help="Steps between log lines.")]
ValidateEvery = Annotated[
    int, typer.Option(metavar="N", min=1, help="Steps between validations, which write the model.")
]
CheckpointEvery = Annotated[
    int, typer.Option(metavar="N", min=1, help="Steps between checkpoints.")
]
ValidationData = Annotated[
    str, typer.Option(metavar="WHERE", help="Pictures to watch.  [default: first of --data]")
]
ValidationPictures = Annotated[
    int, typer.Option(metavar="N", min=1, help="How many pictures to watch.")
]
Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the CPU.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget earlier checkpoints.")]

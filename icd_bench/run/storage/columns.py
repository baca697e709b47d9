"""The columns of ``results.parquet``: one row a cell. Documentation is generated from here."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_HISTORY = {1: "the first", 2: "`source_sha256`"}
"""Version -> what it added. Older files are made again from the events, which hold everything;
where there are no events, new columns are empty: see ``RunFolder.results``."""
SCHEMA_VERSION = max(SCHEMA_HISTORY)
METADATA_KEY = b"icd_bench"


@dataclass(frozen=True)
class Column:
    """One column of the results."""

    name: str
    type: str
    """Arrow type; ``string[]`` is a list of strings."""
    meaning: str


COLUMNS = (
    Column("cell_id", "string", "name of the cell: hash of everything that decides its picture"),
    Column("method", "string", "name of the method"),
    Column("method_version", "string", "version of the method"),
    Column("setting", "string", "every field of the resolved setting, as canonical JSON"),
    Column("inversion_id", "string", "name of the inversion; shared by the cells that reuse it"),
    Column("model", "string", "name of the diffusion model"),
    Column("model_digest", "string", "SHA-256 over the model's weights"),
    Column("benchmark", "string", "name of the benchmark"),
    Column("split", "string", "split of the benchmark; empty: its default"),
    Column("sample_id", "string", "id of the sample; file and row where the row is unusable"),
    Column("sample_index", "int64", "row of the benchmark, from 0"),
    Column("sample_digest", "string", "SHA-256 over pixels, prompts, blend words and mask"),
    Column("source_sha256", "string", "SHA-256 of the source picture; empty where it is unusable"),
    Column("category", "string", "the benchmark's category of the sample"),
    Column("source_prompt", "string", "describes the picture as it is"),
    Column("target_prompt", "string", "describes the picture as it shall be"),
    Column("seed", "int64", "the run's seed"),
    Column("sample_seed", "int64", "seed of the sample's noise, from the run's seed and its id"),
    Column("protocol", "string", "how pictures are prepared and stored"),
    Column("resolution", "int64", "side of the square pictures in pixels"),
    Column("device", "string", "where the picture was computed"),
    Column("dtype", "string", "number type of the diffusion model"),
    Column("status", "string", "ok or failed"),
    Column("failed_stage", "string", "benchmark, sample, invert, edit or image; empty where ok"),
    Column("error_type", "string", "type of the error; empty where ok"),
    Column("error", "string", "message of the error; empty where ok"),
    Column("warnings", "string[]", "what the method warned of"),
    Column("nfe_invert", "int64", "U-Net rows evaluated to invert the sample, in full"),
    Column(
        "nfe_source",
        "int64",
        "U-Net rows of the source branch that the setting needs; settings share them",
    ),
    Column("nfe_edit", "int64", "U-Net rows evaluated for this cell alone"),
    Column("seconds_invert", "double", "seconds to invert the batch, over its samples"),
    Column("seconds_edit", "double", "seconds to edit the batch, over its cells"),
    Column("image", "string", "path of the edited picture within the run folder"),
    Column("image_sha256", "string", "SHA-256 of the picture's file"),
)
"""After these follow the metrics: one ``double`` column each, named like the metric; null where
the picture has no score, NaN where the metric does not apply to the sample."""


def columns_table() -> str:
    """Return the columns as a Markdown table."""
    rows = [f"| `{column.name}` | {column.type} | {column.meaning} |" for column in COLUMNS]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows]) + "\n"

"""Tables in every format that a suite may read, for tests."""

from pathlib import Path

import polars as pl


def written(frame: pl.DataFrame, path: Path) -> Path:
    """*frame* at *path*, in the format that its name ends in; JSON lines where that is none of the others."""
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case ".parquet":
            frame.write_parquet(path)
        case _:
            frame.write_ndjson(path)
    return path

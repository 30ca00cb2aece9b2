"""How editors are told of one value: what people call it, and its JSON Schema.

Regular expressions are in the words that Python and JavaScript share.
"""

from typing import Any

from pydantic import WithJsonSchema

SIZE = r"[0-9]+(\.[0-9]+)?"
IN_UNITS = "".join(rf"({SIZE}{unit})?" for unit in ("d", "h", "m", "s", "ms", "(us|µs)", "ns"))
LETTER = r"[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
"""What Python calls ``\\w``, in the words of both kinds of regular expressions."""
SERVER = r"^\s*[hH][tT][tT][pP][sS]?://"
DURATION = "a duration has units: 90s, 1h30m, 500ms (d h m s ms us ns, largest first)"
SHARE = rf"^{SIZE}(%|pp)$"
FROM_OUTSIDE = "keys come from the environment or a file: write ${SIGMA_API_KEY}, or api_key_file"


def written(title: str, **schema: Any) -> WithJsonSchema:
    """How editors are told of a type: what people call it, and its JSON Schema.

    What is shown where it is not met is said in *wanted*. The schema may take more than the reader does and
    never less: a suite that runs has no red line in it.
    """
    wanted = schema.pop("wanted", None)
    told = {} if wanted is None else {"errorMessage": wanted, "patternErrorMessage": wanted}
    return WithJsonSchema({"title": title, **schema, **told})

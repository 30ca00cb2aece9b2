"""The highest load that holds an SLO: `harness limit SUITE`.

An SLO is shares (`slo`), a load is searched for by doubling and bisection (`search`), each of its answers is
a probe, an ordinary run (`probing`) that is watched (`watching`) and ended once it is decided (`deciding`);
in between the server comes to rest (`resting`). `seeking` holds it together, and `telling` shows it.
"""

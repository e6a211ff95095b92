"""Prints the tables: plain, mesh, ratio, and the reference's ratio to its own plain TCP."""

# Istio's ztunnel 1.30.3, one worker, release build, log level warn, measured the same way on a 2-core
# machine: ratios to plain TCP of the same run. Only ratios carry over to another machine.
REFERENCE = {
    ("two-nodes", "bulk"): {"gbit_s": 0.36, "cpu_s_gb": 3.4},
    ("two-nodes", "rr"): {"p50_us": 2.2, "p99_us": 2.2},
    ("two-nodes", "http"): {"per_s": 0.29, "cpu_us": 3.3},
    ("two-nodes", "short"): {"per_s": 0.25, "cpu_us": 4.2},
    ("same-node", "bulk"): {"gbit_s": 0.25, "cpu_s_gb": 4.0},
    ("same-node", "rr"): {"p50_us": 2.5, "p99_us": 2.8},
    ("same-node", "http"): {"per_s": 0.24, "cpu_us": 3.4},
    ("same-node", "short"): {"per_s": 0.18, "cpu_us": 4.7},
}
REFERENCE_IDLE_KIB = "5.7 and 5.3"

# Figure -> its row's text, digits, and whether more is better.
FIGURES = {
    "bulk": [("gbit_s", "bulk, one stream, Gbit/s", 1, True), ("cpu_s_gb", "  machine CPU s per GB", 2, False),
             ("daemon_s_gb", "  daemons alone", 2, None)],
    "rr": [("p50_us", "round trip of 100 B, p50 us", 0, False), ("p99_us", "  p99 us", 0, False)],
    "http": [("per_s", "HTTP requests/s, 32 connections", 0, True), ("p99_us", "  p99 us", 0, None),
             ("cpu_us", "  machine CPU us per request", 1, False), ("daemon_us", "  daemons alone", 1, None)],
    "short": [("per_s", "short connections/s", 0, True), ("cpu_us", "  machine CPU us each", 0, False),
              ("daemon_us", "  daemons alone", 0, None)],
}
TITLES = {"two-nodes": "two nodes (mutual TLS)", "same-node": "same node"}


def print_tables(rounds, paths, only, facts, median):
    """Returns the rows in which the mesh is behind the reference."""
    behind = []
    for key, value in facts.items():
        print(f"{key}: {value}")
    for path in paths:
        print(f"\n| {TITLES[path]} | plain | mesh | ratio | reference | |")
        print("|---|---:|---:|---:|---:|---|")
        for measure in only:
            for figure, text, digits, more_is_better in FIGURES[measure]:
                pairs = [(row[f"{path} {measure} plain"][figure], row[f"{path} {measure} mesh"][figure]) for row in rounds]
                plain, mesh = median(p for p, _ in pairs), median(m for _, m in pairs)
                alone = figure.startswith("daemon")
                ratio = None if alone or min(p for p, _ in pairs) <= 0 else median(m / p for p, m in pairs)
                reference = REFERENCE[path, measure].get(figure)
                verdict = ""
                if reference is not None and ratio is not None:
                    ahead = ratio > reference if more_is_better else ratio < reference
                    verdict = "ahead" if ahead else "BEHIND"
                    if not ahead:
                        behind.append(text.strip())
                print(f"| {text} | {'' if alone else f'{plain:,.{digits}f}'} | {mesh:,.{digits}f} | "
                      f"{'' if ratio is None else f'{ratio:.2f}'} | {'' if reference is None else reference} | {verdict} |")
    return behind

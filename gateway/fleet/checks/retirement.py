"""Which deployments will be gone, and when: 60, 30 and 7 days ahead."""

from collections.abc import Collection
from datetime import date

from gateway.catalogue import Catalogue
from gateway.config.problems import Severity
from gateway.fleet.checks.finding import Finding
from gateway.types import Deployment

# Days left, and what to do by then; the first that holds counts.
AHEAD = ((7, "Replace it now"), (30, "Choose its replacement and try it"), (60, "Plan its replacement"))


def judge(deployment: Deployment, today: date, catalogue: Catalogue, listed: Collection[str] = ()) -> list[Finding]:
    """An error on a retired id, a warning on one that soon will be; one that is still listed is not gone yet."""
    day = deployment.retires
    if day is None:
        return []
    days, instead = (day - today).days, replacement(deployment, today, catalogue)
    if days <= 0:
        still = deployment.id in listed
        what = f"Its provider retired `{deployment.id}` on {day}{', though it still lists it' if still else ''}."
        severity: Severity = "warning" if still else "error"
        return [Finding(severity, "retirement", deployment.name, what, f"Replace it now{instead}.")]
    todo = next((words for most, words in AHEAD if days <= most), None)
    if todo is None:
        return []
    what = f"Its provider retires `{deployment.id}` on {day}, in {'1 day' if days == 1 else f'{days} days'}."
    return [Finding("warning", "retirement", deployment.name, what, f"{todo}{instead}.")]


def replacement(deployment: Deployment, today: date, catalogue: Catalogue) -> str:
    """Where the model is served longer, as the end of a sentence: another id at the same kind, else other kinds."""
    model = catalogue.get(deployment.model)
    if model is None:
        return ""
    longer = deployment.retires or today
    same = catalogue.host(model, deployment.kind, longer)
    if same is not None and same.id != deployment.id and (same.retires is None or same.retires > longer):
        return f", for example with `id: {same.id}`"
    kinds = [
        kind
        for kind, hosts in model.hosts.items()
        if any(host.price is not None and (host.retires is None or host.retires > longer) for host in hosts)
    ]
    return f"; {model.name} is also at {', '.join(kinds)}" if kinds else ""

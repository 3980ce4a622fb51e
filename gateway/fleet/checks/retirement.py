"""Which deployments will be gone, and when: 60, 30 and 7 days ahead."""

from collections.abc import Collection
from datetime import date

from gateway.catalogue import Catalogue
from gateway.catalogue.retirement import notice
from gateway.config.problems import Severity
from gateway.fleet.checks.finding import Finding
from gateway.types import Deployment


def judge(deployment: Deployment, today: date, catalogue: Catalogue, listed: Collection[str] = ()) -> list[Finding]:
    """An error on a retired id, a warning on one that soon will be; one that is still listed is not gone yet."""
    one = deployment
    said = notice(one.model, one.kind, one.id, one.retires, today, catalogue)
    if said is None:
        return []
    if said.stage != "gone":
        return [Finding("warning", "retirement", one.name, f"Its provider {said.what}.", said.advice)]
    still = one.id in listed
    severity: Severity = "warning" if still else "error"
    what = f"retired `{one.id}` on {one.retires}, though it still lists it" if still else said.what
    return [Finding(severity, "retirement", one.name, f"Its provider {what}.", said.advice)]

"""How near the end of a model at a provider is, and what to do by then: one answer for every place that tells it."""

from datetime import date
from typing import Literal, NamedTuple

from gateway.catalogue.catalogue import Catalogue, Model

Stage = Literal["later", "planned", "near", "imminent", "gone"]

# Days left, and the stage from then on; the first that holds counts.
STAGES: tuple[tuple[int, Stage], ...] = ((0, "gone"), (7, "imminent"), (30, "near"), (60, "planned"))
ADVICE: dict[Stage, str] = {
    "planned": "Plan its replacement",
    "near": "Choose its replacement and try it",
    "imminent": "Replace it now",
    "gone": "Replace it now",
}


class Notice(NamedTuple):
    """What to say of a retirement that is near: a sentence that follows on whose it is, and another on what to do."""

    stage: Stage
    what: str
    advice: str


def stage(day: date, today: date) -> Stage:
    """How near a day is: 60, 30 and 7 days ahead, and gone on the day itself."""
    return next((name for most, name in STAGES if (day - today).days <= most), "later")


def notice(model: str, kind: str, id: str, day: date | None, today: date, catalogue: Catalogue) -> Notice | None:
    """What to say of the id of a model at a provider kind; None while there is nothing to do yet."""
    now = "later" if day is None else stage(day, today)
    if day is None or now == "later":
        return None
    return Notice(now, what(id, day, today, now), f"{ADVICE[now]}{instead(model, kind, id, day, today, catalogue)}.")


def what(id: str, day: date, today: date, now: Stage) -> str:
    """What happens on which day; sharper the nearer it is."""
    left = (day - today).days
    within = f"in {'1 day' if left == 1 else f'{left} days'}"
    if now == "gone":
        return f"retired `{id}` on {day}: requests to it fail"
    if now == "imminent":
        return f"retires `{id}` {within}: from {day} on every request to it fails"
    after = ", and requests to it fail from then on" if now == "near" else ""
    return f"retires `{id}` on {day}, {within}{after}"


def instead(model: str, kind: str, id: str, day: date, today: date, catalogue: Catalogue) -> str:
    """What to write in its place, as the end of a sentence; empty when the catalogue knows nothing."""
    known = catalogue.get(model)
    if known is None:
        return ""
    longer = max(day, today)
    same = catalogue.host(known, kind, longer)
    if same is not None and same.id != id and (same.retires is None or same.retires > longer):
        return f", for example with `id: {same.id}`"
    kinds = [
        name
        for name, hosts in known.hosts.items()
        if any(host.price is not None and (host.retires is None or host.retires > longer) for host in hosts)
    ]
    also = f"; {known.name} is also at {', '.join(kinds)}" if kinds else ""
    other = replacement(known, kind, id)
    if other is None:
        return also
    return f"{also}; its hosts name {other} instead: serve it, and write `models: {{{model}: {{successor: {other}}}}}`"


def replacement(model: Model, kind: str, id: str) -> str | None:
    """What the provider of an id names in place of a model, else what all providers that say so name."""
    host = next((host for host in model.hosts.get(kind, ()) if host.id.lower() == id.lower()), None)
    return (host.replacement if host else None) or model.replacement

"""When a second deployment is asked beside a first one that is slow to begin: by time, by budget, and by room."""

from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.policy import Hedge
from gateway.routing.stats import Stats
from gateway.types import Choice, Deployment

BUSY = 0.7  # share of the slots in use above which nobody is asked twice
SAVED = 10.0  # second attempts that a quiet time may save up
START_TAIL = 2.0  # the first token that one in twenty exceeds, by the usual one, until it is learnt
STEP, MOST_TAIL = 0.1, 20.0  # by how much one sample moves it, and how far
ENOUGH = 1.0 - 1e-9  # of a budget that adds up shares


class Budget:
    """Second attempts of a route: a share of its requests, and none beyond it."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.spare = 0.0

    def request(self) -> None:
        """A request came."""
        self.spare = min(SAVED, self.spare + self.share)

    def take(self) -> bool:
        """Whether one more is allowed; if so, it is taken."""
        if self.spare < ENOUGH:
            return False
        self.spare -= 1.0
        return True


class Hedges:
    """Budgets by route, and how late first tokens are by deployment; only routes that hedge pay for either."""

    def __init__(self) -> None:
        self.budgets: dict[tuple[str, float], Budget] = {}
        self.tails: dict[str, float] = {}

    def budget(self, route: str, share: float) -> Budget:
        """The budget of a route; one with another share begins anew."""
        return self.budgets.setdefault((route, share), Budget(share))

    def after(self, rule: Hedge, choice: Choice, stats: Stats, whole: bool) -> float | None:
        """Seconds without content after which a second attempt begins; None while too little is known.

        An answer that comes in one piece is late when its last token is.
        """
        if rule.after is not None:
            return rule.after
        if stats.ttft is None or (whole and stats.per_token is None):
            return None
        return choice.forecast.late if whole else self.limit(choice, stats)

    def limit(self, choice: Choice, stats: Stats) -> float:
        """Seconds to the first token that one request in twenty exceeds at a deployment."""
        usual = stats.first_token(choice.forecast.prompt_tokens)
        return usual * self.tails.get(choice.deployment.name, START_TAIL)

    def learn(self, choice: Choice, stats: Stats, outcome: Outcome) -> None:
        """One more stream has begun, or was left before it did; `stats` are those before it.

        Stochastic approximation of a quantile (Robbins and Monro, 1951), as of the time to the last token. A silence
        that was not awaited shows only that it was at least so long.
        """
        if stats.ttft is None or not outcome.streamed:
            return
        seconds = (outcome.ended if outcome.first is None else outcome.first) - outcome.started
        late = seconds > self.limit(choice, stats)
        if late or outcome.first is not None:
            tail = self.tails.get(choice.deployment.name, START_TAIL)
            self.tails[choice.deployment.name] = min(MOST_TAIL, max(1.0, tail * (1 + STEP * (0.95 if late else -0.05))))


def scarce(book: StatsBook, deployments: tuple[Deployment, ...]) -> bool:
    """Whether so many slots of any of them are in use that nobody may be asked twice."""
    return any(in_use(book, one) > BUSY for one in deployments)


def in_use(book: StatsBook, deployment: Deployment) -> float:
    """The share of a deployment's slots that are in use: of its backend's, or of those that it bears itself."""
    share = book.in_flight.get(deployment.backend, 0) / (deployment.concurrency or deployment.slots)
    bears = book.limit(deployment)
    return share if bears is None else max(share, book.asked.get(deployment.name, 0) / bears)

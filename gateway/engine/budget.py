"""How many retries a pool of upstreams is given: a share of its requests, so that an outage is not made worse."""

SLICES = 10  # of the window: what is forgotten is forgotten by a tenth of it


class RetryBudget:
    """Retries of one pool: `ratio` of the requests of the last `seconds`, and a few that need no requests.

    Those few are a bucket that holds `burst` and gains `floor` a second. Times are of one clock; a retry of a request
    that found its pooled connection closed is free and is not counted here. Over any time from s to t, the retries
    allowed are at most ratio * (requests after s - seconds) + floor * (t - s) + burst.
    """

    def __init__(self, ratio: float = 0.1, floor: float = 1.0, burst: float = 10.0, seconds: float = 10.0) -> None:
        self.ratio = ratio
        self.floor = floor  # a second
        self.burst = burst
        self.width = seconds / SLICES
        self.requests = [0] * SLICES
        self.retries = [0] * SLICES  # that were charged to the share, not to the bucket
        self.asked = 0  # the sum of `requests`
        self.charged = 0  # the sum of `retries`
        self.slice = 0
        self.spare = burst
        self.filled: float | None = None  # when the bucket was last filled

    def request(self, now: float) -> None:
        """A request came that is nobody's retry."""
        self.turn(now)
        self.requests[self.slice % SLICES] += 1
        self.asked += 1

    def may_retry(self, now: float) -> bool:
        """Whether one more retry is allowed; if so, it is taken."""
        self.turn(now)
        if self.charged + 1 <= self.ratio * self.asked:
            self.charge()
            return True
        return self.pour(now)

    def retried(self, now: float) -> None:
        """A request came that is its caller's own retry: it takes of what is left, and of what is to come."""
        if not self.may_retry(now):
            self.charge()

    def charge(self) -> None:
        """Count a retry against the share."""
        self.retries[self.slice % SLICES] += 1
        self.charged += 1

    def pour(self, now: float) -> bool:
        """Take one from the bucket; False when it holds less."""
        since = now if self.filled is None else self.filled
        self.filled = max(now, since)
        self.spare = min(self.burst, self.spare + self.floor * (self.filled - since))
        if self.spare < 1:
            return False
        self.spare -= 1
        return True

    def turn(self, now: float) -> None:
        """Forget the slices that have left the window."""
        at = int(now // self.width)
        for gone in range(max(self.slice, at - SLICES) + 1, at + 1):
            place = gone % SLICES
            self.asked -= self.requests[place]
            self.charged -= self.retries[place]
            self.requests[place] = self.retries[place] = 0
        self.slice = max(self.slice, at)


class Budgets:
    """The retry budget of each route, by its share."""

    def __init__(self) -> None:
        self.pools: dict[tuple[str, float], RetryBudget] = {}

    def of(self, route: str, ratio: float) -> RetryBudget:
        """The budget of a route; one with another share begins anew."""
        pool = self.pools.get((route, ratio))
        if pool is None:
            pool = self.pools[route, ratio] = RetryBudget(ratio)
        return pool

"""What is known of a lane's candidates, as columns: kept from plan to plan, and brought up to date by what has changed.

The inner loop of every plan reads columns, since attributes of ten named tuples cost more than the decision itself;
and of a hundred deployments only one or two change between two plans.
"""

from operator import itemgetter

from gateway.routing.book import Known
from gateway.routing.forecast import prior
from gateway.routing.lane import Lane
from gateway.routing.stats import UNSEEN, Stats

READ = ("ttft", "per_token", "slope", "offset", "seen", "ejected_until", "resting_until", "tail", "failing", "failed")
FIELDS = itemgetter(*[Stats._fields.index(name) for name in READ])


class Board:
    """Columns of what was lately seen, a value for each candidate: seconds, and times of the monotonic clock.

    They change in place: whoever keeps one beyond a plan copies it.
    """

    __slots__ = (
        "at",
        "columns",
        "ejected",
        "failed",
        "failing",
        "firsts",
        "known",
        "lane",
        "last_ejected",
        "last_rested",
        "measured",
        "offsets",
        "paces",
        "places",
        "priors",
        "resting",
        "seen",
        "slopes",
        "stats",
        "tails",
    )

    def __init__(self, lane: Lane, known: Known) -> None:
        self.lane = lane
        self.known = known
        self.places: dict[str, list[int]] = {}
        for place, name in enumerate(lane.names):
            self.places.setdefault(name, []).append(place)
        self.priors = [prior(deployment) for deployment in lane.deployments]
        self.at = 0  # how many changes are in it
        self.fill()

    def refresh(self) -> None:
        """Take over what has changed since the last time."""
        known = self.known
        behind = known.changed - self.at
        if behind > len(known.recent) or behind > len(self.stats):
            self.fill()
            return
        for name in known.recent[-behind:]:
            for place in self.places.get(name, ()):
                self.put(place, known[name])
        self.sum_up()
        self.at = known.changed

    def fill(self) -> None:
        """All columns anew."""
        known = self.known
        self.at = known.changed
        self.stats: list[Stats] = [known.get(name, UNSEEN) for name in self.lane.names]
        # all of them turned at once: cheaper than one after the other
        self.columns = tuple(map(list, FIELDS(tuple(zip(*(self.stats or (UNSEEN,)), strict=True)))))
        (
            self.firsts,
            self.paces,
            self.slopes,
            self.offsets,
            self.seen,
            self.ejected,
            self.resting,
            self.tails,
            self.failing,
            self.failed,
        ) = self.columns
        self.sum_up()

    def sum_up(self) -> None:
        """What is true of the columns as a whole."""
        self.last_ejected, self.last_rested = max(self.ejected), max(self.resting)
        self.measured = [place for place, stats in enumerate(self.stats) if stats.ttft is not None]

    def put(self, place: int, stats: Stats) -> None:
        """One candidate's values."""
        self.stats[place] = stats
        for column, value in zip(self.columns, FIELDS(stats), strict=True):
            column[place] = value


def board_of(lane: Lane, known: Known) -> Board:
    """The lane's board for these statistics, up to date."""
    board = lane.board
    if board is None or board.known is not known:
        board = lane.board = Board(lane, known)
    elif board.at != known.changed:
        board.refresh()
    return board

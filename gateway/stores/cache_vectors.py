"""Vectors of questions in memory: which kept answer belongs to the question that is most like another one."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]
else:
    Vector = object  # numpy is loaded where a route asks for it

BYTES = 64 << 20  # of all vectors together
MOST = 4096  # vectors of one partition: the oldest makes room
OVERHEAD = 400  # bytes of a question beside its vector, and of a partition, about


class Question(NamedTuple):
    """What is known of a question that was answered: what its text must share with another, and its answer's key."""

    signature: bytes
    key: bytes


class Partition:
    """Questions that differ in nothing else, with vectors of length one side by side."""

    def __init__(self, dimensions: int) -> None:
        import numpy as np  # only where a route asks for it: 20 MB and a tenth of a second

        self.vectors: Vector = np.zeros((1, dimensions), np.float32)
        self.questions: list[Question] = []
        self.next = 0  # row that the next question gets when all are taken

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return self.vectors.nbytes + OVERHEAD * (1 + len(self.questions))

    def add(self, vector: Vector, question: Question) -> None:
        """One more question, in the place of the oldest where there are too many, or of itself."""
        import numpy as np

        row = next((row for row, known in enumerate(self.questions) if known.key == question.key), None)
        if row is None and len(self.questions) < MOST:
            row = len(self.questions)
            self.questions.append(question)
            if row == len(self.vectors):
                self.vectors = np.concatenate((self.vectors, np.zeros_like(self.vectors)))
        elif row is None:
            row, self.next = self.next, (self.next + 1) % MOST
        self.vectors[row] = vector
        self.questions[row] = question

    def nearest(self, vector: Vector, signature: bytes, threshold: float) -> Iterator[tuple[float, bytes]]:
        """How alike other questions are and the keys of their answers, the nearest first."""
        import numpy as np

        alike = self.vectors[: len(self.questions)] @ vector
        rows = np.flatnonzero(alike >= threshold)
        for row in rows[np.argsort(-alike[rows])]:
            question = self.questions[row]
            if question.signature == signature:
                yield float(alike[row]), question.key


class Vectors:
    """Partitions of questions; the least recently used go when the bytes run out."""

    def __init__(self, limit: int = BYTES) -> None:
        self.limit = limit
        self.size = 0
        self.partitions: OrderedDict[bytes, Partition] = OrderedDict()

    def add(self, name: bytes, vector: Vector, question: Question) -> None:
        """One more question of a partition."""
        partition = self.partitions.get(name)
        if partition is None or partition.vectors.shape[1] != len(vector):  # another model makes them now
            self.drop(name)
            partition = self.partitions[name] = Partition(len(vector))
        else:
            self.size -= partition.size
        partition.add(vector, question)
        self.size += partition.size
        self.partitions.move_to_end(name)
        while self.size > self.limit:
            self.drop(next(iter(self.partitions)))

    def nearest(self, name: bytes, vector: Vector, signature: bytes, threshold: float) -> list[tuple[float, bytes]]:
        """How alike the questions of a partition are and the keys of their answers, the nearest first."""
        partition = self.partitions.get(name)
        if partition is None or partition.vectors.shape[1] != len(vector):
            return []
        self.partitions.move_to_end(name)
        return list(partition.nearest(vector, signature, threshold))

    def drop(self, name: bytes) -> None:
        """Forget a partition."""
        partition = self.partitions.pop(name, None)
        self.size -= 0 if partition is None else partition.size


def unit(numbers: Sequence[float]) -> Vector | None:
    """A vector of length one; None for one that has no direction."""
    import numpy as np

    vector = np.asarray(numbers, np.float32)
    length = float(np.linalg.norm(vector))
    return vector / length if np.isfinite(length) and length > 0 else None

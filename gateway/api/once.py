"""`Idempotency-Key`, as Stripe has it: a request that is sent again gets the answer of the first, for a day."""

from gateway.api import reply
from gateway.api.reply import Header, Message, Send
from gateway.errors import InvalidRequest
from gateway.stores.idempotency import KEY_LENGTH, Claim, Once, Replay

NAME = "idempotency-key"
IGNORED: Header = (b"x-idempotency", b"ignored")  # of a stream, which cannot be given again
UNAVAILABLE: Header = (b"x-idempotency", b"unavailable")  # the store is away, and the request was done all the same
REPLAYED: Header = (b"idempotent-replayed", b"true")
ID = b"x-request-id"
OWN = frozenset({ID, b"x-idempotency"})  # headers that are each request's own


def checked(key: str) -> str:
    """A key as a caller has sent it; raises InvalidRequest for one that is none."""
    if not key or len(key) > KEY_LENGTH:
        raise InvalidRequest(f"'Idempotency-Key' must have 1 to {KEY_LENGTH} characters.", param="Idempotency-Key")
    return key


class Held:
    """Sends an answer on when it is kept, so that whoever loses it on the way gets it again."""

    def __init__(self, send: Send, once: Once, claim: Claim) -> None:
        self.send = send
        self.once = once
        self.claim = claim
        self.start: Message | None = None
        self.done = False

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if self.start is None:
            self.start = message
            return
        start, headers = self.start, tuple((name, value) for name, value in self.start["headers"] if name not in OWN)
        self.done = True
        await self.once.finish(self.claim, Replay(start["status"], headers, message["body"]))
        await self.send(start)
        await self.send(message)

    async def free(self) -> None:
        """There is no answer: whoever sends the request again has it done."""
        await self.once.finish(self.claim, None)


async def given_again(send: Send, request_id: str, answer: Replay) -> None:
    """Send an answer that was given before."""
    headers = [(name, value) for name, value in answer.headers if name != b"content-length"]
    await reply.whole(send, answer.status, (*headers, (ID, request_id.encode()), REPLAYED), answer.body)

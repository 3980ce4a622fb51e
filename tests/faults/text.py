"""Text in which loss, duplication and mixing can be seen: word i is `w0001 `, with another letter for each voice."""


def word(number: int, letter: str = "w") -> str:
    """Word `number`, counted from 1."""
    return f"{letter}{number:04d} "


def words(count: int, letter: str = "w") -> str:
    """The first `count` words."""
    return "".join(word(number, letter) for number in range(1, count + 1))


def begins(said: str, count: int, letter: str = "w") -> bool:
    """Whether something is the beginning of a voice's text, or all of it."""
    return words(count, letter).startswith(said)

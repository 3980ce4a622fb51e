"""Comments of their own line stand where what they are about stands."""

from gateway.policytools.comments import realigned


def test_a_comment_follows_the_line_below_it() -> None:
    assert realigned("a:\n    # c\n    b: 1\n", "a:\n    # c\n  b: 1\n") == "a:\n  # c\n  b: 1\n"


def test_a_comment_at_the_end_of_a_block_follows_the_block() -> None:
    assert realigned("- b: 1\n  # c\n- d: 1\n", "  - b: 1\n  # c\n  - d: 1\n") == "  - b: 1\n    # c\n  - d: 1\n"


def test_a_comment_above_a_dash_follows_the_dash() -> None:
    assert realigned("a:\n# c\n- b\n", "a:\n# c\n  - b\n") == "a:\n  # c\n  - b\n"


def test_a_comment_aligned_with_nothing_stays() -> None:
    assert realigned("a: 1\n   # c\n", "a: 1\n   # c\n") == "a: 1\n   # c\n"


def test_texts_whose_lines_differ_are_left_alone() -> None:
    assert realigned("a:\n  # c\n  b\n  c\n", "a:\n  # c\n b c\n") == "a:\n  # c\n b c\n"
